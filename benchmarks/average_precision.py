"""COCO average precision of boxes that carry Open Images names, on the shared photographs."""

import contextlib
import io
from pathlib import Path
from typing import Any

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ml_backend.label_studio.label_config import parse_label_config

COCO_CONFIG = Path(__file__).parent.parent / "label_config" / "coco.xml"

Box = dict[str, Any]  # label, score, and edges: left, top, right, bottom in pixels


def open_images_names() -> dict[str, str]:
    """Return what Open Images calls the categories of COCO, where it calls them otherwise, from the project's own config."""
    (control,), _ = parse_label_config(COCO_CONFIG.read_text())
    return {label.value: label.predicted_values[0] for label in control.labels if label.predicted_values}


def average_precision(truth: Path, boxes_by_picture: dict[int, list[Box]]) -> float:
    """Return COCO AP at IoU 0.50:0.95; see :func:`average_precisions`."""
    return average_precisions(truth, boxes_by_picture)[0]


def average_precisions(truth: Path, boxes_by_picture: dict[int, list[Box]]) -> tuple[float, float]:
    """Return COCO AP at IoU 0.50:0.95, of all objects and of small ones (below 32 x 32 pixels).

    Args:
        truth: annotations in COCO's format.
        boxes_by_picture: by COCO's image id; labels of no category are left out.
    """
    called = open_images_names()
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(truth))
        category = {
            called.get(each["name"], each["name"]).casefold(): each["id"] for each in coco.dataset["categories"]
        }
        rows = [
            {
                "image_id": picture,
                "category_id": category[box["label"].casefold()],
                "bbox": [left, top, right - left, bottom - top],
                "score": box["score"],
            }
            for picture, boxes in boxes_by_picture.items()
            for box in boxes
            if box["label"].casefold() in category
            for left, top, right, bottom in [box["edges"]]
        ]
        evaluation = COCOeval(coco, coco.loadRes(rows), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0]), float(evaluation.stats[3])
