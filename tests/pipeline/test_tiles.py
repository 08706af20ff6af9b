"""Detection in tiles: small objects in large images are found, and nothing is computed that is known."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from picture_server import PictureServer
from PIL import Image
from samples import FAR, NEAR, STORED_BY, balloon_file, detections_of, encoded, large_scene, stored_as
from samples import LARGE as SIZE

from ml_backend.detections import Detections
from ml_backend.errors import ModelError
from ml_backend.images.decoding.decode import DecodedImage, decode
from ml_backend.images.decoding.pool import DecoderPool
from ml_backend.inference.detector import Detector
from ml_backend.inference.models import Models
from ml_backend.label_studio.regions import rectangles_in
from ml_backend.metrics import Metrics
from ml_backend.model_results import TILES
from ml_backend.pipeline.image_results import ImageResult
from ml_backend.pipeline.image_work import ImageWork
from ml_backend.pipeline.limits import TILED_AT_ONCE
from ml_backend.pipeline.prediction import Pipeline
from ml_backend.pipeline.tiled_detection import TiledDetection
from ml_backend.settings import Settings


def config(*tiles: str) -> str:
    """Return a label config with a control for each ``model_tiles``; without the attribute for an empty text."""
    attributes = [f'model_tiles="{each}"' if each else "" for each in tiles]
    controls = "".join(
        f'<RectangleLabels name="box{number}" toName="image" {given}><Label value="Balloon"/></RectangleLabels>'
        for number, given in enumerate(attributes)
    )
    return f'<View><Image name="image" value="$image"/>{controls}</View>'


@pytest.fixture(scope="module")
def scene_file() -> bytes:
    """Give a picture with a near balloon and a far one, as a file."""
    return encoded(Image.fromarray(large_scene()))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Give a list that grows with the longer side of each image that is decoded."""
    sides: list[int] = []
    of_pool = DecoderPool.decode

    def noting(self: DecoderPool, data: bytes, max_side: int = 0) -> DecodedImage:
        sides.append(max_side)
        return of_pool(self, data, max_side)

    monkeypatch.setattr(DecoderPool, "decode", noting)
    return sides


def runs(pipeline: Pipeline) -> float:
    """Return how often the detector ran."""
    return pipeline.metrics.value("prelabel_model_runs_total", model="detector")


def centres(answer: Any, control: str = "box0") -> list[tuple[int, int]]:
    """Return the centres of a prediction's boxes under a control, to 10 pixels, from the left."""
    assert isinstance(answer, dict), answer
    values = [each["value"] for each in rectangles_in(answer["result"]) if each["from_name"] == control]
    width, height = SIZE
    return sorted(
        (
            round((each["x"] + each["width"] / 2) / 1000 * width) * 10,
            round((each["y"] + each["height"] / 2) / 1000 * height) * 10,
        )
        for each in values
    )


@pytest.mark.parametrize(
    ("setting", "attribute", "found", "cost"),
    [
        (0, "", [NEAR[:2]], 1),
        (2, "", [NEAR[:2], FAR[:2]], 1 + 4),
        (0, "2", [NEAR[:2], FAR[:2]], 1 + 4),
        (3, "0", [NEAR[:2]], 1),
        (2, "3", [NEAR[:2], FAR[:2]], 1 + 9),
        (4, "", [NEAR[:2], FAR[:2]], 1 + 16),
    ],
    ids=["off", "by the setting", "by the control", "off by the control", "the control decides", "at most"],
)
async def test_far_object_is_found_in_tiles(
    demo_detector: Detector,
    pictures: PictureServer,
    scene_file: bytes,
    setting: int,
    attribute: str,
    found: list[tuple[int, int]],
    cost: int,
) -> None:
    """One box for each object, also for those that are seen in several views; each tile is one run of the detector."""
    task = {"id": 1, "data": {"image": pictures.add("/a.png", scene_file)}}
    async with Pipeline(Settings(cache="memory", tiles=setting), Models(demo_detector)) as pipeline:
        (answer,) = await pipeline.predict([task], config(attribute))
        assert centres(answer) == found
        assert runs(pipeline) == cost
    assert len(pictures.requests) == 1


async def test_switching_computes_what_is_unknown_only(
    demo_detector: Detector, pictures: PictureServer, scene_file: bytes, tmp_path: Path, decoded: list[int]
) -> None:
    """On: the tiles alone. Off, and on again: nothing. Another number: its tiles alone."""
    task = {"id": 1, "data": {"image": pictures.add("/a.png", scene_file)}}
    cost = {}
    for number, tiles in enumerate([0, 2, 0, 2, 3]):
        settings = Settings(cache="sqlite", cache_file=tmp_path / "cache", tiles=tiles)
        async with Pipeline(settings, Models(demo_detector)) as pipeline:
            await pipeline.predict([task], config(""))
            cost[number, tiles] = runs(pipeline)
    assert cost == {(0, 0): 1, (1, 2): 4, (2, 0): 0, (3, 2): 0, (4, 3): 9}
    assert decoded == [640, 1280, 1920], "once for the whole image, and once for the tiles of each number"


async def test_controls_with_different_numbers(
    demo_detector: Detector, pictures: PictureServer, scene_file: bytes
) -> None:
    """Each control shows what it would show alone; the whole image is looked at once for all."""
    task = {"id": 1, "data": {"image": pictures.add("/a.png", scene_file)}}
    async with Pipeline(Settings(cache="memory"), Models(demo_detector)) as pipeline:
        (answer,) = await pipeline.predict([task], config("0", "2", "3"))
        assert centres(answer, "box0") == [NEAR[:2]]
        assert centres(answer, "box1") == centres(answer, "box2") == [NEAR[:2], FAR[:2]]
        assert runs(pipeline) == 1 + 4 + 9
        explained = await pipeline.explain(task, config("0", "2", "3"))
    views = [
        {each.detections.view(row).partition(" ")[0] for row in range(len(each.detections))} for each in explained.boxes
    ]
    assert views == [{""}, {"", "tiles2"}, {"", "tiles3"}]


async def test_small_image_has_no_tiles(demo_detector: Detector, pictures: PictureServer, decoded: list[int]) -> None:
    """Neither a run of the detector nor pixels, also when it is asked for again; the answer is that without tiles."""
    task = {"id": 1, "data": {"image": pictures.add("/a.png", balloon_file())}}
    answers = []
    async with Pipeline(Settings(cache="memory"), Models(demo_detector)) as pipeline:
        for tiles in ("0", "2", "2"):
            (answer,) = await pipeline.predict([task], config(tiles))
            answers.append([each["value"] for each in answer["result"]])
        assert runs(pipeline) == 1
    assert answers[0] == answers[1] == answers[2]
    assert decoded == [640]


@pytest.mark.parametrize("orientation", [each for each in STORED_BY if each != 1])
async def test_tiles_lie_in_the_displayed_frame(
    demo_detector: Detector, pictures: PictureServer, orientation: int
) -> None:
    """However the camera was held."""
    url = pictures.add("/a.jpg", stored_as(orientation, Image.fromarray(large_scene()), "JPEG", quality=95))
    async with Pipeline(Settings(cache="memory"), Models(demo_detector)) as pipeline:
        (answer,) = await pipeline.predict([{"id": 1, "data": {"image": url}}], config("2"))
        assert centres(answer) == [NEAR[:2], FAR[:2]]


async def test_version_tells_tiles_and_stays_without_them(demo_detector: Detector) -> None:
    """By the number for each control, wherever it comes from; off is as if there were no tiles."""
    version = {}
    for tiles in (0, 2, 3):
        async with Pipeline(Settings(cache="memory", tiles=tiles), Models(demo_detector)) as pipeline:
            for attribute in ("", "0", "2"):
                version[tiles, attribute] = pipeline.postprocessors.version_for(config(attribute))
    off, two, three = version[0, ""], version[2, ""], version[3, ""]
    assert len({off, two, three}) == 3
    assert {version[tiles, "0"] for tiles in (0, 2, 3)} == {off}
    assert {version[tiles, "2"] for tiles in (0, 2, 3)} == {two}


async def test_drawn_rectangle_gets_the_far_object(
    demo_detector: Detector, pictures: PictureServer, scene_file: bytes
) -> None:
    """Interactive mode shows what predictions show: a rough rectangle around the far balloon becomes its box."""
    x, y, half = FAR
    value = {
        "x": (x - 2 * half) / SIZE[0] * 100,
        "y": (y - 2 * half) / SIZE[1] * 100,
        "width": 4 * half / SIZE[0] * 100,
        "height": 3 * half / SIZE[1] * 100,
        "rotation": 0,
        "rectanglelabels": ["Balloon"],
    }
    drawn = {"id": "d", "from_name": "box0", "to_name": "image", "type": "rectanglelabels", "value": value}
    task = {"id": 1, "data": {"image": pictures.add("/a.png", scene_file)}}
    widths = []
    async with Pipeline(Settings(cache="memory"), Models(demo_detector)) as pipeline:
        for tiles in ("0", "2"):
            (answer,) = await pipeline.predict([task], config(tiles), context={"result": [drawn]})
            widths.append(round(answer["result"][0]["value"]["width"] / 100 * SIZE[0]))
    assert widths[0] == 4 * half, "the rectangle itself"
    assert abs(widths[1] - 2 * half) <= 4


def test_explain_names_the_view(serve: Callable[..., str], pictures: PictureServer, scene_file: bytes) -> None:
    """Over HTTP: whole, or the tile by row and column."""
    url = serve(tiles=2)
    task = {"id": 1, "data": {"image": pictures.add("/a.png", scene_file)}}
    body = {"task": task, "label_config": config("")}
    (image,) = httpx.post(f"{url}/explain", json=body, timeout=60).raise_for_status().json()["images"]
    kept = [each["view"] for each in image["detections"] if each["fate"] == "kept"]
    assert sorted(kept) in (["tiles2 1.2", "whole"], ["tiles2 1.2", "tiles2 2.1"])
    assert any("suppressed by" in each["reason"] for each in image["detections"]), "the near one is seen in two views"


def test_stored_results_have_one_order() -> None:
    """Equal scores in several views: the whole image first, then by number of tiles, so that region ids of bulk jobs are those of the service."""
    row = ("Kite", 0.5, (0.1, 0.1, 0.2, 0.2))
    tiles = {kind: replace(detections_of(row), views=(f"{kind} 1.1",)).to_bytes() for kind in (TILES[3], TILES[2])}
    result = ImageResult("0" * 64, detections_of(row).to_bytes(), tiles=tiles)
    found = result.decoded(["tiles3", "tiles2", "detector"]).detections
    assert found is not None
    assert found.views == ("", "tiles2 1.1", "tiles3 1.1")


class Counting:
    """A detector that finds one object in each image, and notes how many images it sees at once."""

    name, fingerprint, classes = "counting", "c" * 64, None

    def __init__(self, fails: bool = False) -> None:
        self.now = self.most = self.runs = 0
        self._fails = fails
        self._lock = threading.Lock()

    def run(self, pixels: NDArray[np.uint8], size: tuple[int, int] | None = None) -> Detections:
        """Find one object."""
        with self._lock:
            self.now, self.runs = self.now + 1, self.runs + 1
            self.most = max(self.most, self.now)
        np.sort(pixels, axis=None)  # takes a while, without Python's lock
        with self._lock:
            self.now -= 1
        if self._fails:
            raise ModelError("it fails")
        return detections_of(("Kite", 0.5, (0.4, 0.4, 0.6, 0.6)))


def tiled(detector: Counting, threads: ThreadPoolExecutor, workers: int) -> TiledDetection:
    """Return the detection in tiles by a detector, in some threads."""
    loop = asyncio.get_running_loop()
    return TiledDetection(detector, 640, workers, lambda work: loop.run_in_executor(threads, work), Metrics())


async def test_many_large_images_leave_workers_and_memory_to_others(scene_file: bytes) -> None:
    """However many there are, only so many tiles are in the queue of the workers, and only so many images are decoded."""
    detector, lock, alive, most_alive = Counting(), threading.Lock(), 0, 0

    def decoding(data: bytes, max_side: int) -> DecodedImage:
        nonlocal alive, most_alive
        with lock:
            alive += 1
            most_alive = max(most_alive, alive)
        return decode(data, max_pixels=10**8, max_side=max_side)

    async def detect(detection: TiledDetection) -> Detections:
        nonlocal alive
        found = await detection.detect(3, ImageWork(scene_file, decoding, 640))
        with lock:
            alive -= 1
        return found

    with ThreadPoolExecutor(8) as threads:
        detection = tiled(detector, threads, workers=2)
        found = await asyncio.gather(*(detect(detection) for _ in range(6)))
    assert [len(each) for each in found] == [9] * 6
    assert detector.runs == 54
    assert detector.most <= 2
    assert most_alive == TILED_AT_ONCE


async def test_image_fails_with_its_first_tile(scene_file: bytes) -> None:
    """One error, as of a whole image; the other tiles of the image are not run for nothing."""
    detector = Counting(fails=True)
    image = ImageWork(scene_file, lambda data, side: decode(data, max_pixels=10**8, max_side=side), 640)
    with ThreadPoolExecutor(2) as threads, pytest.raises(ModelError, match="it fails"):
        await tiled(detector, threads, workers=1).detect(4, image)
    assert detector.runs < 16
