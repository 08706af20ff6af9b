import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bootstrap_jobs import LIST_CONFIG, PAIR_CONFIG, albums, balloon, converted, item, item_of_file, nothing, scattered
from bootstrap_jobs import write as write_sink
from PIL import Image
from pycocotools.coco import COCO
from samples import BALLOON_CONFIG, ORIENTATION

from ml_backend.bootstrap.job import JobPredictions
from ml_backend.bootstrap.sinks.coco import Coco
from ml_backend.bootstrap.sinks.sink import SinkOptions
from ml_backend.label_studio.label_config import parse_label_config
from ml_backend.settings import Settings

JobOf = Callable[..., JobPredictions]


def write(predictions: JobPredictions, path: Path, config: str = BALLOON_CONFIG) -> dict[str, Any]:
    """Write predictions and return what is in the file."""
    write_sink(Coco(path, SinkOptions(Settings(cache="none"), controls=parse_label_config(config)[0])), predictions)
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def boxes(content: dict[str, Any]) -> list[tuple[int, str, list[float]]]:
    """Return all boxes with the place of their picture and their label."""
    names = {each["id"]: each["name"] for each in content["categories"]}
    places = {each["id"]: place for place, each in enumerate(content["images"])}
    return [(places[each["image_id"]], names[each["category_id"]], each["bbox"]) for each in content["annotations"]]


@pytest.mark.parametrize("config", [BALLOON_CONFIG, PAIR_CONFIG], ids=["RectangleLabels", "Rectangle and Labels"])
def test_boxes_are_those_of_label_studios_converter(job: JobOf, tmp_path: Path, config: str) -> None:
    """For pictures that lie as they are shown; within the thousandth of a pixel to which boxes are written."""
    rows = []
    for n, size in enumerate([(640, 480), (333, 777), (64, 48)]):
        path = tmp_path / f"{n}.png"
        Image.new("RGB", size).save(path)
        rows.append((item_of_file(path, tmp_path), scattered(40 * (n < 2), *size, seed=n)))
    predictions = job(*rows, config=config)
    ours = write(predictions, tmp_path / "coco.json", config)
    theirs = json.loads((converted(predictions, config, "COCO", tmp_path / "theirs") / "result.json").read_text())
    assert len(boxes(ours)) == len(boxes(theirs)) > 40
    for (place, label, box), (their_place, their_label, their_box) in zip(boxes(ours), boxes(theirs), strict=True):
        assert (place, label) == (their_place, their_label)
        assert box == pytest.approx(their_box, abs=6e-4)
    shapes = [[(each["width"], each["height"]) for each in content["images"]] for content in (ours, theirs)]
    assert shapes[0] == shapes[1]


def test_pycocotools_reads_it(job: JobOf, tmp_path: Path) -> None:
    """As ground truth, and its annotations as results with scores."""
    rows = [(item(f"{n}"), scattered(30, 640, 480, seed=n)) for n in range(3)]
    content = write(job(*rows, (item("empty"), nothing())), tmp_path / "coco.json")
    coco = COCO(str(tmp_path / "coco.json"))
    assert len(coco.getImgIds()) == 4
    assert [each["name"] for each in coco.loadCats(coco.getCatIds())] == ["Balloon", "Kite", "Box"]
    results = coco.loadRes(np.array([[1, *each["bbox"], each["score"], 1] for each in content["annotations"]]))
    assert len(results.getAnnIds()) == len(content["annotations"]) > 60
    for each in content["annotations"]:
        left, top, width, height = each["bbox"]
        assert each["area"] == pytest.approx(width * height, abs=1)
        assert min(left, top) >= 0
        assert left + width <= 640.001
        assert top + height <= 480.001
        assert 0.3 <= each["score"] <= 1


def test_numbers_start_at_one_and_belong_together(job: JobOf, tmp_path: Path) -> None:
    """Of pictures, categories and boxes; a picture without boxes is in it, what was left alone is not."""
    rows = [(item("a"), nothing()), (item("b", skip_reason="annotated"), None), (item("c"), balloon())]
    content = write(job(*rows), tmp_path / "coco.json")
    assert content["images"] == [
        {"id": 1, "width": 64, "height": 48, "file_name": "http://host/a"},
        {"id": 2, "width": 200, "height": 100, "file_name": "http://host/c"},
    ]
    (annotation,) = content["annotations"]
    assert annotation == {
        "id": 1,
        "image_id": 2,
        "category_id": 1,
        "bbox": [40.0, 25.0, 120.0, 50.0],
        "area": 6000.0,
        "segmentation": [],
        "iscrowd": 0,
        "score": 0.9,
    }


def test_sizes_are_those_of_the_displayed_picture(job: JobOf, tmp_path: Path) -> None:
    """A telephone's picture lies on its side in its file: the boxes are of what people see."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.new("RGB", (200, 100)).save(tmp_path / "side.jpg", exif=exif)
    content = write(
        job((item_of_file(tmp_path / "side.jpg", tmp_path), balloon(width=100, height=200))), tmp_path / "c"
    )
    assert content["images"] == [{"id": 1, "width": 100, "height": 200, "file_name": "side.jpg"}]
    assert boxes(content) == [(0, "Balloon", [20.0, 50.0, 60.0, 100.0])]


def test_list_of_images(job: JobOf, tmp_path: Path) -> None:
    """Each page is a picture of its own."""
    content = write(job(*albums(), config=LIST_CONFIG), tmp_path / "coco.json", LIST_CONFIG)
    assert [each["file_name"] for each in content["images"]] == [f"http://host/{n}.jpg" for n in (1, 2, 3)]
    assert [each[:2] for each in boxes(content)] == [(0, "Balloon"), (2, "Kite")]


def test_nothing(job: JobOf, tmp_path: Path) -> None:
    """No pictures: all lists are there, with the categories."""
    content = write(job(), tmp_path / "coco.json")
    assert (content["images"], content["annotations"], len(content["categories"])) == ([], [], 3)
    assert COCO(str(tmp_path / "coco.json")).getImgIds() == []
