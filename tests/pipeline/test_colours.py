"""The colours of boxes: computed beside the detections, from the same pixels, and kept with them."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from picture_server import PictureServer
from PIL import Image
from samples import balloon_file, detections_of, encoded, large_scene

from ml_backend.detections import Detections
from ml_backend.images.references import parse_reference
from ml_backend.inference.detector import Detector
from ml_backend.inference.models import Models
from ml_backend.label_studio.controls.control import ImageField
from ml_backend.metrics import Metrics
from ml_backend.model_results import TILES, ModelKind
from ml_backend.pipeline.cache_keys import DETECTIONS, input_shaping, result_key
from ml_backend.pipeline.image_inference import ImageInference
from ml_backend.pipeline.prediction import Pipeline
from ml_backend.settings import Settings

SOURCE = ImageField("image", is_list=False)
RED, GREY = 200, 150  # of Cr: the balloons are (214, 20, 40), and what is around them is grey


async def found(pipeline: Pipeline, url: str, *kinds: ModelKind) -> Detections:
    """Return the detections in an image."""
    results = await pipeline.infer({"id": 1, "data": {"image": url}}, {SOURCE: kinds})
    detections = results[SOURCE][0].results.detections
    assert detections is not None
    return detections


@pytest.mark.parametrize("kind", ["detector", TILES[2]])
async def test_boxes_have_the_colours_of_what_is_in_them(
    demo_detector: Detector, pictures: PictureServer, kind: ModelKind
) -> None:
    """In the whole image and in tiles; from the model and from the cache."""
    url = pictures.add("/a.png", encoded(Image.fromarray(large_scene())))
    async with Pipeline(Settings(cache="memory"), Models(demo_detector)) as pipeline:
        for _ in range(2):
            detections = await found(pipeline, url, kind)
            assert detections.colours is not None
            best = detections.colours[detections.scores >= 0.5]
            assert len(best)
            assert (best[:, 2] > GREY).all()
            assert (best[:, 2] < RED + 20).all()


async def test_entry_of_a_version_without_colours_is_still_a_hit(
    demo_detector: Detector, pictures: PictureServer
) -> None:
    """Nothing is computed again for their sake."""
    url = pictures.add("/a.png", balloon_file())
    settings = Settings(cache="memory")
    shaping = input_shaping(settings.model_input_max_side)
    digest = hashlib.sha256(balloon_file()).hexdigest()
    old = detections_of(("Balloon", 0.9, (0, 0, 1, 1)))
    metrics = Metrics()
    async with ImageInference(settings, Models(demo_detector), metrics) as images:
        await images.cache.put({result_key(DETECTIONS, demo_detector.fingerprint, shaping, digest): old.to_bytes()})
        detections = (await images.infer(parse_reference(url), ["detector"])).results.boxes
    assert (len(detections), detections.colours) == (1, None)
    assert metrics.value("prelabel_model_runs_total", model="detector") == 0


def test_colours_take_six_bytes_of_a_box() -> None:
    """Of boxes that have some, beside about 25 bytes for edges, score and class."""
    plain = detections_of(*[("Kite", 0.9, (0, 0, 1, 1))] * 100)
    coloured = replace(plain, colours=np.full((100, 6), 99, np.uint8))
    assert 600 <= len(coloured.to_bytes()) - len(plain.to_bytes()) < 620
