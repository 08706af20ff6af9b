"""Controls of a label config, as plain values."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ml_backend.detections import Detections
from ml_backend.label_studio.regions import Region

NMS_IOU = 0.6


@dataclass(frozen=True, slots=True)
class Label:
    """One ``<Label>`` of a control.

    Attributes:
        value: what a region carries: the label's ``alias`` where it has one, else its ``value``.
        names: what the label is called, ``value`` and ``alias``.
        predicted_values: class names or MIDs that the attribute of that name lists.
        score_threshold: lowest score that is shown, 0 to 1; None leaves it to the control.
        hierarchy: whether classes below those of the label come to it too.
        skip: whether the label gets no boxes at all.
    """

    value: str
    names: tuple[str, ...]
    predicted_values: tuple[str, ...] = ()
    score_threshold: float | None = None
    hierarchy: bool = True
    skip: bool = False


class ImageField(NamedTuple):
    """Where a task's data holds images.

    Attributes:
        key: of the data.
        is_list: whether the key holds a list of images rather than one.
    """

    key: str
    is_list: bool


@dataclass(frozen=True, slots=True)
class Control(ABC):
    """One control tag, or a pair of them: labels, and the rules by which detections are shown under them.

    Attributes:
        from_name: ``name`` of the tag that draws the rectangle.
        to_name: the ``name`` of the ``<Image>`` that it draws on.
        data_key: the key of a task's data that holds that image, or its list of images.
        labels: in the order of the config.
        is_list: whether the image tag takes a list (``valueList``).
        labels_name: ``name`` of the ``<Labels>`` of a pair; empty for ``<RectangleLabels>``.
        score_threshold: lowest score that is shown, 0 to 1; None leaves it to the settings.
        nms_iou: overlap (IoU) over which the weaker of two boxes with one label is suppressed, 0 to 1.
        nms_across_labels: whether the weaker of two boxes is suppressed whatever their labels.
        min_area: smallest box that is shown, in percent of the picture's area.
        max_regions: most boxes that are shown in a picture; None for no limit.
        hierarchy: whether classes come to labels above them in the hierarchy.
        skip: whether the control gets no boxes at all.
        target_precision: share of shown boxes that should be right, 0 to 1, to which thresholds are learned; None leaves it to the
            settings.
    """

    from_name: str
    to_name: str
    data_key: str
    labels: tuple[Label, ...]
    is_list: bool = False
    labels_name: str = ""
    score_threshold: float | None = None
    nms_iou: float = NMS_IOU
    nms_across_labels: bool = False
    min_area: float = 0.0
    max_regions: int | None = None
    hierarchy: bool = True
    skip: bool = False
    target_precision: float | None = None

    @property
    def image_field(self) -> ImageField:
        """Where a task's data holds the images that it draws on."""
        return ImageField(self.data_key, self.is_list)

    @abstractmethod
    def regions(
        self, identity: Sequence[object], item: int, detections: Detections, shown: Sequence[tuple[int, str]]
    ) -> list[Region]:
        """Write the detections that are shown in one image as Label Studio's regions.

        Args:
            identity: makes ids of regions unique, besides control, image and detection: task and model version.
            item: which image of the list it is; 0 where there is one image.
            detections: everything that was found in that image.
            shown: row and label of each detection that is shown.
        """
