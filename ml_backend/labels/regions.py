"""Writes Label Studio's rectangle regions and predictions. All values are plain JSON: no numpy scalars, no NaN."""

import hashlib
from collections.abc import Sequence
from typing import Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from ml_backend.labels.config import Control

DECIMALS = 4  # of a percentage: a hundredth of a pixel on a picture 10,000 pixels wide
EMPTY_SCORE_FLOOR = 0.5


class RectangleValue(TypedDict):
    """A bounding box in percent of the displayed picture, from its top left corner; ``rotation`` in degrees."""

    x: float
    y: float
    width: float
    height: float
    rotation: int
    rectanglelabels: list[str]


class Region(TypedDict):
    """One region of a prediction, as Label Studio stores it."""

    id: str
    from_name: str
    to_name: str
    type: Literal["rectanglelabels"]
    original_width: int
    original_height: int
    image_rotation: int
    value: RectangleValue
    score: float


class Prediction(TypedDict):
    """What one task is answered with."""

    result: list[Region]
    score: float
    model_version: str


def rectangle(box: NDArray[np.float32], label: str) -> RectangleValue | None:
    """Convert one normalized ``ymin, xmin, ymax, xmax`` box to percent, clamped to the picture.

    Returns:
        None where nothing of the box is left inside the picture.
    """
    top, left, bottom, right = (round(float(edge) * 100, DECIMALS) for edge in np.clip(box.astype(np.float64), 0, 1))
    width, height = round(right - left, DECIMALS), round(bottom - top, DECIMALS)
    if width <= 0 or height <= 0:
        return None
    return {"x": left, "y": top, "width": width, "height": height, "rotation": 0, "rectanglelabels": [label]}


def region(region_id: str, control: Control, value: RectangleValue, score: float, size: tuple[int, int]) -> Region:
    """Assemble a region; ``size`` is width and height of the displayed picture in pixels."""
    return {
        "id": region_id,
        "from_name": control.from_name,
        "to_name": control.to_name,
        "type": "rectanglelabels",
        "original_width": size[0],
        "original_height": size[1],
        "image_rotation": 0,
        "value": value,
        "score": round(score, DECIMALS),
    }


def region_id(task_id: object, model_version: str, control: Control, row: int) -> str:
    """Return an id that is the same for the same task, model version, control and detection, and differs for all others."""
    text = "\0".join((str(task_id), model_version, control.from_name, control.to_name, str(row)))
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()


def task_score(shown: Sequence[float], hidden: Sequence[float]) -> float:
    """Return a prediction's score, by which Label Studio orders its uncertainty sampling (lowest first).

    With boxes it is the mean of their scores. Without any, it is one minus the score of the best box that the threshold hid, but at
    least 0.5: a picture on which nothing was even suspected is a sure one (1.0) and comes last, one with a near miss comes
    earlier, and no empty picture gets ahead of the doubtful half of the pictures with boxes.

    Args:
        shown: scores of the boxes that are answered.
        hidden: scores of boxes of the project's labels that the threshold hid.
    """
    if shown:
        return round(sum(shown) / len(shown), DECIMALS)
    return round(max(EMPTY_SCORE_FLOOR, 1 - max(hidden, default=0.0)), DECIMALS)
