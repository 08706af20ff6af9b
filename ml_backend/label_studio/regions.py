"""Writes Label Studio's rectangle regions and predictions. All values are plain JSON: no numpy scalars, no NaN."""

import hashlib
from collections.abc import Sequence
from typing import Literal, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from ml_backend.detections import Detections
from ml_backend.label_studio.controls.control import Control
from ml_backend.label_studio.geometry import DECIMALS, visible


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


def write(
    identity: Sequence[object], control: Control, item: int, detections: Detections, row: int, label: str
) -> list[Region]:
    """Write one detection as Label Studio's regions: one for ``<RectangleLabels>``, two with one id for a pair of tags.

    Args:
        identity: what makes the region's id its own, besides control, image and detection: task and model version.
        control: the control tag that it belongs to.
        item: which image of the control's list it is on; 0 where the control has one image.
        detections: what was found in that image.
        row: which of them.
        label: the project's label.

    Returns:
        Nothing where nothing of the box that can be drawn is inside the picture.
    """
    value = rectangle(detections.boxes[row])
    if value is None:
        return []
    # The box is part of it, so that tasks without an id, such as those of a test button, differ by their pictures.
    own = region_id(*identity, control.from_name, control.to_name, item, row, detections.boxes[row].tobytes())
    score = round(float(detections.scores[row]), DECIMALS)
    return [{**each, "score": score} for each in write_rectangle(own, control, item, detections, value, label)]


def write_rectangle(
    own: str, control: Control, item: int, detections: Detections, value: RectangleValue, label: str
) -> list[Region]:
    """Write a rectangle without a score, as :func:`write` does with one.

    Args:
        own: the region's id.
        control: the control tag that it belongs to.
        item: which image of the control's list it is on; 0 where the control has one image.
        detections: what was found in that image; tells its size.
        value: the rectangle, without a label.
        label: the project's label.
    """
    drawn: Region = {
        "id": own,
        "from_name": control.from_name,
        "to_name": control.to_name,
        "type": "rectanglelabels",
        "original_width": detections.width,
        "original_height": detections.height,
        "image_rotation": 0,
        "value": {**value, "rectanglelabels": [label]},
    }
    if control.is_list:
        drawn["item_index"] = item
    if not control.labels_name:
        return [drawn]
    box: Region = {**drawn, "type": "rectangle", "value": value}
    name: Region = {**drawn, "from_name": control.labels_name, "type": "labels", "value": {**value, "labels": [label]}}
    return [box, name]


def region_id(*identity: object) -> str:
    """Return an id, 20 hex digits, that is the same for the same parts and differs for all others."""
    return hashlib.blake2b(repr(identity).encode(), digest_size=10).hexdigest()


def task_score(shown: Sequence[float], hidden: Sequence[float], threshold: float) -> float:
    """Return a prediction's score, by which Label Studio orders its uncertainty sampling (lowest first).

    With boxes it is the mean of their scores, so at least the threshold. Without any, it is one minus the score of the best box
    that the threshold hid, but at least halfway from the threshold to 1: a picture on which nothing was even suspected is a sure
    one (1.0) and comes last, one with a near miss comes earlier, and empty pictures never crowd the front of the queue.

    Args:
        shown: scores of the boxes that are answered.
        hidden: scores of boxes of the project's labels that the threshold hid.
        threshold: lowest score that is shown, 0 to 1.
    """
    if shown:
        return round(sum(shown) / len(shown), DECIMALS)
    return round(max((1 + threshold) / 2, 1 - max(hidden, default=0.0)), DECIMALS)
