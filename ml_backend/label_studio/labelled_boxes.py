"""Parser of rectangle regions, drawn or predicted, to labelled boxes. Regions are untrusted input and may have any form."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ml_backend.label_studio.controls.control import Control
from ml_backend.label_studio.controls.rectangles import RectangleControl
from ml_backend.label_studio.geometry import upright
from ml_backend.redaction import printable

RECTANGLES = {"rectanglelabels", "rectangle"}
MAX_LABEL_LENGTH, MAX_ID_LENGTH = 1000, 100  # characters
MAX_ITEMS = 100_000  # images of one list


class LabelledBox(NamedTuple):
    """One rectangle under one label.

    Attributes:
        control: ``from_name`` of the control that draws it.
        item: index of the image in the control's list; 0 where there is one image.
        label: of the project; empty where it has none.
        edges: ``ymin, xmin, ymax, xmax``, normalized to [0, 1] of the displayed image.
        score: of the predicted region, 0 to 1; 0 for drawn regions.
        region: id of its region, which a predicted box keeps while people edit it; empty where there is none.
    """

    control: str
    item: int
    label: str
    edges: tuple[float, float, float, float]
    score: float = 0.0
    region: str = ""


@dataclass(frozen=True, slots=True)
class ReadRegions:
    """The labelled boxes in a list of regions.

    Attributes:
        boxes: rectangles, clipped to the image; one with several labels gives one box for each.
        odd: number of irregular regions by kind: ``rotated`` (replaced by the upright box around it), ``beyond the picture``
            (clipped), and ``outside the picture``, ``other control`` and ``unreadable`` (left out).
    """

    boxes: list[LabelledBox] = field(default_factory=list)
    odd: Counter[str] = field(default_factory=Counter)


def read_regions(regions: object, controls: Sequence[Control]) -> ReadRegions:
    """Read the ``result`` of an annotation or a prediction.

    Args:
        regions: a list of regions, or any other value.
        controls: the controls of the project.
    """
    read = ReadRegions()
    if not isinstance(regions, list):
        read.odd["unreadable"] += regions is not None
        return read
    rectangles = [control for control in controls if isinstance(control, RectangleControl)]
    names = {control.from_name for control in rectangles}
    labelled_by = {control.from_name: control.labels_name for control in rectangles if control.labels_name}
    others = {control.from_name for control in controls} - names
    usable = [region for region in regions if isinstance(region, dict)]
    read.odd["unreadable"] += len(regions) - len(usable)
    words = _labels_of_pairs(usable)
    for region in usable:
        kind, name = str(region.get("type")), str(region.get("from_name"))
        if kind == "labels" and name in labelled_by.values():
            continue  # the other half of a rectangle
        if name in others:
            continue  # choices, see labelled_choices.py
        if kind not in RECTANGLES or name not in names:
            read.odd["other control"] += 1
            continue
        _read_rectangle(region, words.get((str(region.get("id")), labelled_by.get(name, "")), []), read)
    return read


def _read_rectangle(region: Mapping[str, Any], paired: list[str], read: ReadRegions) -> None:
    value = region.get("value")
    given = value if isinstance(value, dict) else {}
    numbers = [number(given.get(name)) for name in ("x", "y", "width", "height")]
    rotation = 0.0 if given.get("rotation") is None else number(given["rotation"])
    shape = (number(region.get("original_width", 1)), number(region.get("original_height", 1)))
    if not all(map(math.isfinite, (*numbers, rotation))) or (rotation % 360 and not min(shape) > 0):
        read.odd["unreadable"] += 1
        return
    left, top, width, height = numbers
    if rotation % 360:
        read.odd["rotated"] += 1
        left, top, width, height = upright((left, top, width, height), rotation, shape)
    edges = (top / 100, left / 100, (top + height) / 100, (left + width) / 100)
    clipped = tuple(min(1.0, max(0.0, edge)) for edge in edges)
    ymin, xmin, ymax, xmax = clipped
    if not (ymax > ymin and xmax > xmin):
        read.odd["outside the picture"] += 1
        return
    if any(abs(edge - inside) > 1e-4 for edge, inside in zip(edges, clipped, strict=True)):
        read.odd["beyond the picture"] += 1
    for label in _texts(given.get("rectanglelabels")) or paired or [""]:
        read.boxes.append(
            LabelledBox(
                str(region["from_name"]),
                item_of(region),
                label,
                (ymin, xmin, ymax, xmax),
                score_of(region),
                region_id(region),
            )
        )


def region_id(region: Mapping[str, Any]) -> str:
    """Return the id of a region; empty where it has none."""
    given = region.get("id")
    return printable(given, MAX_ID_LENGTH) if isinstance(given, str) else ""


def item_of(region: Mapping[str, Any]) -> int:
    """Return the index of the image in its list; 0 where the region gives none, or an impossible one."""
    item = region.get("item_index")
    return item if isinstance(item, int) and not isinstance(item, bool) and 0 <= item < MAX_ITEMS else 0


def score_of(region: Mapping[str, Any]) -> float:
    """Return the score of a region, 0 to 1; 0 where it has none."""
    score = number(region.get("score", 0))
    return min(1.0, max(0.0, score)) if math.isfinite(score) else 0.0


def _labels_of_pairs(regions: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], list[str]]:
    """Return labels by region id and the name of the ``<Labels>`` that gave them."""
    found: dict[tuple[str, str], list[str]] = {}
    for region in regions:
        value = region.get("value")
        if region.get("type") == "labels" and isinstance(value, dict):
            known = found.setdefault((str(region.get("id")), str(region.get("from_name"))), [])
            known += [text for text in _texts(value.get("labels")) if text not in known]
    return found


def _texts(values: object) -> list[str]:
    texts = [values] if isinstance(values, str) else values if isinstance(values, list) else []
    return list(dict.fromkeys(printable(text, MAX_LABEL_LENGTH) for text in texts if isinstance(text, str) and text))


def number(value: object) -> float:
    """Return an untrusted value as a float; NaN where it is not a number, or too large for a float."""
    try:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        return math.nan
