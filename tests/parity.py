"""Boxes by two ways, through the service and by the signature of the detector itself, and pictures with ground truth to compare them on."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from average_precision import Box, average_precision
from numpy.typing import NDArray
from picture_server import PictureServer
from PIL import Image
from published import shared_folder
from trained.detector import trained_detector_folder
from trained.pictures import coco_file, held_out

from ml_backend.inference.contracts.openimages_v4 import SCORE_FLOOR
from ml_backend.inference.detector import Detector
from ml_backend.label_studio.label_config import label_config_for
from ml_backend.vocabularies.open_images import open_images_classes

EVERY_CLASS = label_config_for(open_images_classes().names)


@dataclass(frozen=True)
class Measured:
    """A detector, and pictures with ground truth.

    Attributes:
        detector: its folder.
        files: of the pictures, by their ids in the ground truth.
        truth: in COCO's format.
        least: the AP that the detector has at least.
    """

    detector: Path
    files: Mapping[int, Path]
    truth: Path
    least: float

    def average_precision(self, boxes: list[list[Box]]) -> float:
        """Return the COCO AP of the boxes of each picture."""
        return average_precision(self.truth, dict(zip(self.files, boxes, strict=True)))

    def pixels(self) -> list[NDArray[np.uint8]]:
        """Return the pictures, uint8 [H, W, 3]."""
        return [np.asarray(Image.open(file).convert("RGB")) for file in self.files.values()]


def drawn(model_format: str, folder: Path) -> Measured:
    """Return the tests' own detector, and 60 pictures that it was not trained on, written to a folder."""
    pictures = held_out(60)
    ids = coco_file(pictures, folder / "truth.json")
    for picture in pictures:
        (folder / picture.name).write_bytes(picture.file())
    files = {ids[picture.name]: folder / picture.name for picture in pictures}
    return Measured(trained_detector_folder() / model_format, files, folder / "truth.json", least=0.45)


def photographs(model_format: str) -> Measured:
    """Return the shared detector and 80 photographs with COCO's ground truth."""
    shared = shared_folder("every box within 0.0024 pixel on 80 photographs, AP 0.2996 both ways (docs/design.md)")
    truth = shared / "photos" / "instances.json"
    ids = {each["file_name"]: each["id"] for each in json.loads(truth.read_text())["images"]}
    files = {ids[file.name]: file for file in sorted((shared / "photos" / "images").glob("*.jpg"))}
    assert len(files) == 80
    return Measured(shared / "models" / f"openimages-subset-detector-{model_format}", files, truth, least=0.25)


def tasks_of(addresses: list[str]) -> list[dict[str, Any]]:
    """Return one task for each picture."""
    return [{"id": number, "data": {"image": address}} for number, address in enumerate(addresses, 1)]


def predicted(url: str, addresses: list[str], label_config: str) -> list[list[dict[str, Any]]]:
    """Post all pictures in one request, and return their regions."""
    body = {"tasks": tasks_of(addresses), "label_config": label_config, "project": "1.1"}
    results = httpx.post(f"{url}/predict", json=body, timeout=110).json()["results"]
    return [result["result"] for result in results]


def answered(url: str, addresses: list[str], label_config: str = EVERY_CLASS) -> list[list[Box]]:
    """Post all pictures in one request, and turn the regions back to pixels."""
    return [[_pixels(region) for region in regions] for regions in predicted(url, addresses, label_config)]


def served(url: str, measured: Measured, pictures: PictureServer, label_config: str = EVERY_CLASS) -> list[list[Box]]:
    """Return the boxes of all pictures, as the service answers."""
    addresses = [pictures.add(f"/{file.name}", file.read_bytes()) for file in measured.files.values()]
    return answered(url, addresses, label_config)


def _pixels(region: dict[str, Any]) -> Box:
    value = region["value"]
    x, y = region["original_width"] / 100, region["original_height"] / 100
    left, top = value["x"] * x, value["y"] * y
    edges = [left, top, left + value["width"] * x, top + value["height"] * y]
    return {"label": value["rectanglelabels"][0], "score": region["score"], "edges": edges}


def called_directly(detector: Detector, pixels: NDArray[np.uint8]) -> list[Box]:
    """Call the signature by itself: picture in [0, 1] in, boxes clipped to the picture out."""
    from ml_backend.inference.runtimes.tensorflow import tf

    height, width, _ = pixels.shape
    outputs = detector.module.signatures[detector.contract.signature](
        images=tf.constant(pixels[None].astype(np.float32) / 255)
    )
    boxes = np.clip(outputs["detection_boxes"].numpy(), 0, 1) * [height, width, height, width]
    rows = zip(
        boxes.tolist(),
        outputs["detection_scores"].numpy().tolist(),
        outputs["detection_class_entities"].numpy(),
        strict=True,
    )
    return [
        {"label": name.decode(), "score": score, "edges": [left, top, right, bottom]}
        for (top, left, bottom, right), score, name in rows
        if score > 0
    ]


def is_shown(box: Box, least: float = SCORE_FLOOR) -> bool:
    """Whether a box has an area and at least some score."""
    left, top, right, bottom = box["edges"]
    return bool(box["score"] >= least and right > left and bottom > top)
