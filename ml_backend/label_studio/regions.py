"""Regions and predictions of Label Studio. All values are plain JSON: no NumPy scalars, no NaN."""

import hashlib
from collections.abc import Iterable
from typing import Literal, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from ml_backend.label_studio.geometry import visible

PATH_SEPARATOR = " / "  # in a path through the tree of a <Taxonomy>, as the editor shows it


class RectangleValue(TypedDict):
    """A bounding box in percent of the displayed image, from its top left corner; ``rotation`` in degrees, clockwise."""

    x: float
    y: float
    width: float
    height: float
    rotation: float
    rectanglelabels: NotRequired[list[str]]
    labels: NotRequired[list[str]]


class Region(TypedDict):
    """One rectangle of a prediction, as Label Studio stores it. A pair of tags writes a rectangle as two with one id.

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


class ChoicesValue(TypedDict, total=False):
    """Choices for a whole image: texts, or paths through the tree of a ``<Taxonomy>``."""

    choices: list[str]
    taxonomy: list[list[str]]


class ChoiceRegion(TypedDict):
    """The choices of a prediction under one control, as Label Studio stores them."""

    id: str
    from_name: str
    to_name: str
    type: Literal["choices", "taxonomy"]
    value: ChoicesValue
    score: float
    item_index: NotRequired[int]


class Prediction(TypedDict):
    """The prediction of one task, as Label Studio stores it; ``score`` from 0 to 1."""

    result: list[Region | ChoiceRegion]
    score: float
    model_version: str


def rectangle(box: NDArray[np.float32]) -> RectangleValue | None:
    """Convert one box to percent of the image, clamped to it.

    Args:
        box: float32 [4], ``ymin, xmin, ymax, xmax``, normalized.

    Returns:
        The rectangle; None where no part of the box is inside the image.
    """
    left, top, width, height = visible(box[np.newaxis])[0].tolist()
    if not width * height:
        return None
    return {"x": left, "y": top, "width": width, "height": height, "rotation": 0}


def rectangles_in(regions: Iterable[Region | ChoiceRegion]) -> list[Region]:
    """Return the rectangles among regions."""
    return [region for region in regions if region["type"] != "choices" and region["type"] != "taxonomy"]


def choices_in(regions: Iterable[Region | ChoiceRegion]) -> list[ChoiceRegion]:
    """Return the choices among regions."""
    return [region for region in regions if region["type"] == "choices" or region["type"] == "taxonomy"]


def texts_of(region: ChoiceRegion) -> list[str]:
    """Return the choices of a region as texts; a path through a tree as one text."""
    value = region["value"]
    return value.get("choices") or [PATH_SEPARATOR.join(path) for path in value.get("taxonomy", [])]


def label_of(region: Region) -> str:
    """Return the label of a region; empty for the rectangle of a pair, whose label is in its other half."""
    value = region["value"]
    (label,) = value.get("rectanglelabels") or value.get("labels") or [""]
    return label


def region_id(*identity: object) -> str:
    """Return an id, 20 hex digits: a BLAKE2b hash of the parts, so the same parts have the same id."""
    return hashlib.blake2b(repr(identity).encode(), digest_size=10).hexdigest()
