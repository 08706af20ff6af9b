"""``<RectangleLabels>``, and ``<Rectangle>`` with the ``<Labels>`` of the same image: bounding boxes with labels."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from label_studio_sdk.label_interface.control_tags import ControlTag, LabelsTag, RectangleLabelsTag, RectangleTag

from ml_backend.detections import Detections
from ml_backend.label_studio.controls.control import Control
from ml_backend.label_studio.controls.tags import Attributes, Tags, UnservedError, named
from ml_backend.label_studio.geometry import DECIMALS
from ml_backend.label_studio.regions import RectangleValue, Region, rectangle, region_id
from ml_backend.model_results import TILES, TILING, ModelKind

EXPECTED = "<RectangleLabels> control to draw boxes with, nor a <Rectangle> with <Labels>"


NMS_IOU = 0.6  # the default of model_nms_iou

# Their names and their order are part of model versions.
_DECISIVE = (
    "from_name",
    "to_name",
    "data_key",
    "labels",
    "is_list",
    "labels_name",
    "score_threshold",
    "nms_iou",
    "nms_across_labels",
    "min_area",
    "max_regions",
    "hierarchy",
    "skip",
)


@dataclass(frozen=True, slots=True)
class RectangleControl(Control):
    """A control that draws rectangles. A pair of tags writes two regions with one id for each: the rectangle and its label.

    Attributes:
        labels_name: ``name`` of the ``<Labels>`` of a pair; empty for ``<RectangleLabels>``.
        nms_iou: overlap (IoU) over which the box with the lower score of two with one label is suppressed, 0 to 1.
        nms_across_labels: whether boxes of different labels suppress each other too.
        min_area: smallest box that is shown, in percent of the image's area.
        max_regions: largest number of boxes in an image; None for no limit.
        target_precision: share of shown boxes that should be right, 0 to 1, for learned thresholds; None for that of the settings.
        tiles: number of tiles along each side in which large images are looked at too, at most: 2, 3 or 4; 0 for none; None for that of the
            settings.
    """

    labels_name: str = ""
    nms_iou: float = NMS_IOU
    nms_across_labels: bool = False
    min_area: float = 0.0
    max_regions: int | None = None
    target_precision: float | None = None
    tiles: int | None = None

    @property
    def shown_name(self) -> str:
        """``name`` of the tag that has the labels."""
        return self.labels_name or self.from_name

    @property
    def model(self) -> ModelKind:
        """The kind of model whose results it shows."""
        return "detector"

    @property
    def models(self) -> frozenset[ModelKind]:
        """The kinds of results that it shows: of the whole image, and of its tiles."""
        return frozenset({self.model, TILES[self.tiles]} if self.tiles else {self.model})

    def decisive(self) -> dict[str, Any]:
        """Return everything that decides on its regions. A target precision does not."""
        values = asdict(self)
        # Without tiles, versions are those from before there were any.
        tiles = {"tiles": [self.tiles, TILING]} if self.tiles else {}
        return {name: values[name] for name in _DECISIVE} | tiles

    def regions(
        self, identity: Sequence[object], item: int, detections: Detections, shown: Sequence[tuple[int, str]]
    ) -> list[Region]:
        """Write the detections that are shown in one image as Label Studio's regions. A box without area inside the image gives none.

        Args:
            identity: task and model version, which make region ids unique together with control, image and detection.
            item: index of the image in its list; 0 where there is one image.
            detections: all detections in that image.
            shown: row and label of each detection that is shown.
        """
        return [region for row, label in shown for region in self._of_detection(identity, item, detections, row, label)]

    def _of_detection(
        self, identity: Sequence[object], item: int, detections: Detections, row: int, label: str
    ) -> list[Region]:
        value = rectangle(detections.boxes[row])
        if value is None:
            return []
        # The box is part of the id, so that regions of tasks without an id, such as those of a test request, differ.
        own = region_id(*identity, self.from_name, self.to_name, item, row, detections.boxes[row].tobytes())
        score = round(float(detections.scores[row]), DECIMALS)
        return [{**each, "score": score} for each in self.rectangle(own, item, detections, value, label)]

    def rectangle(self, own: str, item: int, detections: Detections, value: RectangleValue, label: str) -> list[Region]:
        """Write one rectangle without a score.

        Args:
            own: the region's id.
            item: index of the image in its list; 0 where there is one image.
            detections: all detections in that image, with its size.
            value: the rectangle, without a label.
            label: the project's label.
        """
        drawn: Region = {
            "id": own,
            "from_name": self.from_name,
            "to_name": self.to_name,
            "type": "rectanglelabels",
            "original_width": detections.width,
            "original_height": detections.height,
            "image_rotation": 0,
            "value": {**value, "rectanglelabels": [label]},
        }
        if self.is_list:
            drawn["item_index"] = item
        if not self.labels_name:
            return [drawn]
        box: Region = {**drawn, "type": "rectangle", "value": value}
        name: Region = {**drawn, "from_name": self.labels_name, "type": "labels", "value": {**value, "labels": [label]}}
        return [box, name]


def read(tags: Tags) -> tuple[list[Control], list[str]]:
    """Return the controls of a label config that draw rectangles, and a sentence for each problem: tags and labels that are not served."""
    pairs, problems = _drawing_tags(tags)
    problems += tags.dropped("RectangleLabels", RectangleLabelsTag) + tags.dropped("Rectangle", RectangleTag)
    controls: list[Control] = []
    for drawing, labelling in pairs:
        try:
            control, unserved = _control(tags, drawing, labelling)
        except UnservedError as reason:
            problems.append(f"{named(drawing)} is not served: {reason}")
        else:
            controls.append(control)
            problems += unserved
    return controls, problems


def _drawing_tags(tags: Tags) -> tuple[list[tuple[ControlTag, ControlTag]], list[str]]:
    """Pair each tag that draws rectangles with the tag of its labels: itself, or the ``<Labels>`` on the same image.

    Returns:
        The pairs, and a sentence for each tag without a partner.
    """
    labels_on: dict[tuple[str, ...], list[ControlTag]] = defaultdict(list)
    for tag in tags.of_kind(LabelsTag):
        labels_on[tuple(tag.to_name or ())].append(tag)
    found: list[tuple[ControlTag, ControlTag]] = []
    problems: dict[str, None] = {}  # in order, each once
    for tag in tags.controls:
        if isinstance(tag, RectangleLabelsTag):
            found.append((tag, tag))
        elif isinstance(tag, RectangleTag):
            labels_here = labels_on[tuple(tag.to_name or ())]
            if not labels_here:
                problems[f"{named(tag)} is not served: no <Labels> has its toName"] = None
                continue
            *others, labelling = labels_here
            found.append((tag, labelling))
            for other in others:
                advice = (
                    f"a <Rectangle> gets the labels of one <Labels>, here {named(labelling)}; move all labels there"
                )
                problems[f"{named(other)} is not served: {advice}"] = None
    return found, list(problems)


def _control(tags: Tags, drawing: ControlTag, labelling: ControlTag) -> tuple[RectangleControl, list[str]]:
    to_name, field = tags.image_of(drawing)
    labels, problems = tags.labels(labelling)
    if not labels:
        raise UnservedError("it has no <Label> with a value")
    # Of a pair, either tag may carry the attributes.
    attributes = Attributes({**(labelling.attr or {}), **(drawing.attr or {})})
    overlap = attributes.share("model_nms_iou")
    most = attributes.number("model_max_regions", 1, 10_000, "a whole number from 1", whole=True)
    control = RectangleControl(
        from_name=drawing.name or "",
        to_name=to_name,
        data_key=field.key,
        labels=tuple(labels),
        is_list=field.is_list,
        labels_name="" if drawing is labelling else labelling.name or "",
        score_threshold=attributes.share("model_score_threshold"),
        nms_iou=NMS_IOU if overlap is None else overlap,
        nms_across_labels=attributes.flag("model_nms_across_labels", default=False),
        min_area=attributes.number("model_min_area", 0, 100, "percent of the picture's area, from 0 to 100") or 0.0,
        max_regions=None if most is None else int(most),
        hierarchy=attributes.flag("model_hierarchy", default=True),
        skip=attributes.flag("model_skip", default=False),
        target_precision=attributes.share("model_target_precision"),
        tiles=_tiles(attributes),
    )
    return control, problems


def _tiles(attributes: Attributes) -> int | None:
    expected = "0, or a whole number from 2 to 4"
    tiles = attributes.number("model_tiles", 0, 4, expected, whole=True)
    if tiles == 1:
        raise UnservedError(f'model_tiles="1" cannot be used: expected {expected}')
    return None if tiles is None else int(tiles)
