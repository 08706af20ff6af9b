"""The control tags of a label config as values: ``Control``, its labels and its image field."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ml_backend.detections import Detections
from ml_backend.label_studio.regions import Region

NMS_IOU = 0.6  # the default of model_nms_iou


@dataclass(frozen=True, slots=True)
class Label:
    """One ``<Label>`` of a control.

    Attributes:
        value: the text in regions: the label's ``alias`` where it has one, else its ``value``.
        names: ``value`` and ``alias``, those that are given.
        predicted_values: class names or MIDs in the attribute of that name.
        score_threshold: lowest score that is shown, 0 to 1; None for that of the control.
        hierarchy: whether subclasses of the label's classes are assigned to it too.
        skip: whether the label gets no boxes.
    """

    value: str
    names: tuple[str, ...]
    predicted_values: tuple[str, ...] = ()
    score_threshold: float | None = None
    hierarchy: bool = True
    skip: bool = False


class ImageField(NamedTuple):
    """A field of a task's data that holds an image or a list of images.

    Attributes:
        key: in the data.
        is_list: whether the key holds a list of images rather than one.
    """

    key: str
    is_list: bool


@dataclass(frozen=True, slots=True)
class Control(ABC):
    """One control tag, or a pair of them: labels, and the rules that select detections for them.

    Attributes:
        from_name: ``name`` of the tag that draws the rectangle.
        to_name: ``name`` of the ``<Image>`` that it draws on.
        data_key: key of a task's data with that image, or its list of images.
        labels: in the order of the config.
        is_list: whether the image tag takes a list (``valueList``).
        labels_name: ``name`` of the ``<Labels>`` of a pair; empty for ``<RectangleLabels>``.
        score_threshold: lowest score that is shown, 0 to 1; None for that of the settings.
        nms_iou: overlap (IoU) over which the box with the lower score of two with one label is suppressed, 0 to 1.
        nms_across_labels: whether boxes of different labels suppress each other too.
        min_area: smallest box that is shown, in percent of the image's area.
        max_regions: largest number of boxes in an image; None for no limit.
        hierarchy: whether classes are assigned to the labels of their superclasses.
        skip: whether the control gets no boxes.
        target_precision: share of shown boxes that should be right, 0 to 1, for learned thresholds; None for that of the settings.
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
        """The field of a task's data with the images that it draws on."""
        return ImageField(self.data_key, self.is_list)

    @abstractmethod
    def regions(
        self, identity: Sequence[object], item: int, detections: Detections, shown: Sequence[tuple[int, str]]
    ) -> list[Region]:
        """Write the detections that are shown in one image as Label Studio's regions.

        Args:
            identity: task and model version, which make region ids unique together with control, image and detection.
            item: index of the image in its list; 0 where there is one image.
            detections: all detections in that image.
            shown: row and label of each detection that is shown.
        """
