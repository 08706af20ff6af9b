"""The region that an annotator has just drawn, in Label Studio's interactive mode."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.label_studio.controls.control import Control
from ml_backend.label_studio.controls.rectangles import RectangleControl
from ml_backend.label_studio.geometry import upright_object
from ml_backend.label_studio.regions import RectangleValue, region_id


@dataclass(frozen=True, slots=True)
class DrawnRegion:
    """A drawn rectangle with a label.

    Attributes:
        control: the control tag that it was drawn with.
        item: index of the image in the control's list.
        label: the chosen label.
        region_id: Label Studio's id of the drawn region.
        rectangle: as it was drawn, rotated or not.
        box: float32 [1, 4], ``ymin, xmin, ymax, xmax``, normalized, in the displayed frame: the expected upright box of the object. For a
            rotated rectangle, that is :func:`~ml_backend.label_studio.geometry.upright_object`.
    """

    control: RectangleControl
    item: int
    label: str
    region_id: str
    rectangle: RectangleValue
    box: NDArray[np.float32]


def drawn_regions(context: object) -> Sequence[object]:
    """Return the regions of a ``context``. Without any, tasks are predicted as usual.

    Label Studio sends ``null`` outside interactive mode, and the official runner 2.x ``{}`` where a request has no ``context``.
    """
    regions = context.get("result") if isinstance(context, Mapping) else None
    return regions if isinstance(regions, Sequence) and not isinstance(regions, str) else []


def newest_region(regions: Sequence[object], identity: Sequence[object]) -> list[Any]:
    """Return the newest drawn region unchanged but for a new id: one region, or both halves of a pair of tags.

    With Auto-Accept, Label Studio replaces the drawn region by the answer.

    Args:
        regions: from :func:`drawn_regions`, the newest last.
        identity: the parts of the new id besides the drawn region's.
    """
    return [{**region, "id": region_id(*identity, region.get("id"))} for region in _newest(regions)]


def read_drawn_region(context: object, controls: Iterable[Control]) -> DrawnRegion | None:
    """Return the newest rectangle of a ``context``, as Label Studio sends it with interactive requests.

    Label Studio puts existing regions of the same label in front of it. They are ignored.

    Returns:
        None where the newest region is not a rectangle with a label of one of ``controls``.
    """
    by_name = {
        (name, control.to_name): control
        for control in controls
        if isinstance(control, RectangleControl)
        for name in (control.from_name, control.labels_name)
        if name
    }
    found = (_drawn_region(drawn, by_name) for drawn in reversed(_newest(drawn_regions(context))))
    return next((each for each in found if each is not None), None)


def _newest(regions: Sequence[object]) -> list[Mapping[str, Any]]:
    """Return the newest region: one, or both halves of a pair of tags, which share an id."""
    usable = [region for region in regions if isinstance(region, Mapping)]
    return [region for region in usable if region.get("id") == usable[-1].get("id")]


def _drawn_region(drawn: Mapping[str, Any], controls: Mapping[tuple[Any, Any], RectangleControl]) -> DrawnRegion | None:
    try:
        control = controls[drawn["from_name"], drawn["to_name"]]
        value = drawn["value"]
        (label, *_) = value["rectanglelabels"] if "rectanglelabels" in value else value["labels"]
        left, top, width, height = (float(value[key]) for key in ("x", "y", "width", "height"))
        rotation = float(value.get("rotation") or 0)
        rectangle: RectangleValue = {"x": left, "y": top, "width": width, "height": height, "rotation": rotation}
        if rotation % 360:
            shape = (float(drawn["original_width"]), float(drawn["original_height"]))
            left, top, width, height = upright_object((left, top, width, height), rotation, shape)
        item = int(drawn.get("item_index") or 0)
    except (KeyError, TypeError, ValueError, ArithmeticError):
        return None
    with np.errstate(over="ignore"):  # becomes infinite
        box = np.array([[edge / 100 for edge in (top, left, top + height, left + width)]], np.float32)
    if (
        item < 0
        or not isinstance(label, str)
        or label not in {each.value for each in control.labels}
        or not np.isfinite(box).all()
    ):
        return None
    return DrawnRegion(control, item, label, str(drawn.get("id", "")), rectangle, box)
