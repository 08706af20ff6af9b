"""Writes Label Studio's rectangle regions and predictions. All values are plain JSON: no numpy scalars, no NaN."""

import hashlib
from typing import Literal, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from ml_backend.label_studio.geometry import visible


class RectangleValue(TypedDict):
    """A bounding box in percent of the displayed picture, from its top left corner; ``rotation`` in degrees."""

    x: float
    y: float
    width: float
    height: float
    rotation: float
    rectanglelabels: NotRequired[list[str]]
    labels: NotRequired[list[str]]


class Region(TypedDict):
    """One region of a prediction, as Label Studio stores it. A pair of tags writes a rectangle as two with one id.

    A rectangle that a person drew has no ``score``.
    """

    id: str
    from_name: str
    to_name: str
    type: Literal["rectanglelabels", "rectangle", "labels"]
    original_width: int
    original_height: int
    image_rotation: int
    value: RectangleValue
    score: NotRequired[float]
    item_index: NotRequired[int]


class Prediction(TypedDict):
    """What one task is answered with."""

    result: list[Region]
    score: float
    model_version: str


def rectangle(box: NDArray[np.float32]) -> RectangleValue | None:
    """Convert one normalized ``ymin, xmin, ymax, xmax`` box to percent, clamped to the picture.

    Returns:
        None where nothing of the box that can be drawn is inside the picture.
    """
    left, top, width, height = visible(box[np.newaxis])[0].tolist()
    if not width * height:
        return None
    return {"x": left, "y": top, "width": width, "height": height, "rotation": 0}


def label_of(region: Region) -> str:
    """Return the label of a region; empty for the rectangle of a pair, whose label is in its other half."""
    value = region["value"]
    (label,) = value.get("rectanglelabels") or value.get("labels") or [""]
    return label


def region_id(*identity: object) -> str:
    """Return an id, 20 hex digits, that is the same for the same parts and differs for all others."""
    return hashlib.blake2b(repr(identity).encode(), digest_size=10).hexdigest()
