"""Boxes in pixels, for other formats: those of the displayed image, EXIF orientation applied."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ml_backend.bootstrap.items import PredictedImage
from ml_backend.label_studio.controls.control import Control
from ml_backend.label_studio.controls.rectangles import RectangleControl
from ml_backend.label_studio.regions import label_of, rectangles_in


class PixelBox(NamedTuple):
    """A labelled bounding box: left, top, width and height in pixels from the top left corner, and its score, 0 to 1."""

    label: str
    score: float
    left: float
    top: float
    width: float
    height: float


def boxes_of(image: PredictedImage) -> Iterator[PixelBox]:
    """Yield the labelled boxes on an image."""
    x, y = image.width / 100, image.height / 100
    for region in rectangles_in(image.regions):
        value, label = region["value"], label_of(region)
        if label:  # the rectangle of a pair has no label, its other half has
            yield PixelBox(
                label, region["score"], value["x"] * x, value["y"] * y, value["width"] * x, value["height"] * y
            )


def label_names(controls: Sequence[Control]) -> list[str]:
    """Return the labels of all controls that draw boxes, each once, in the order of the label config."""
    boxes = (control for control in controls if isinstance(control, RectangleControl))
    return list(dict.fromkeys(label.value for control in boxes for label in control.labels))
