"""The explanation of a prediction: the decision on every detection and every choice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from ml_backend.detections import Detections
from ml_backend.label_studio.controls.control import ImageField
from ml_backend.label_studio.controls.rectangles import RectangleControl
from ml_backend.model_results import ModelResults
from ml_backend.postprocessing.choices import ChoiceDecision, ServedChoices
from ml_backend.postprocessing.label_map import Assignment
from ml_backend.postprocessing.postprocessor import Postprocessor
from ml_backend.postprocessing.selection import FilterDecision
from ml_backend.vocabularies.class_list import ModelClass


@dataclass(frozen=True, slots=True)
class ExplainedBoxes:
    """The detections in one image, with the decisions under one control.

    Attributes:
        control: the control.
        item: index of the image in its list; 0 where there is one image.
        detections: all detections.
        decisions: one for each detection, in their order.
    """

    control: RectangleControl
    item: int
    detections: Detections
    decisions: list[FilterDecision]


@dataclass(frozen=True, slots=True)
class ExplainedChoices:
    """The choices of one control for one image, or for all images of a list together.

    Attributes:
        served: the control.
        item: index of the image in its list; 0 where all images are classified together.
        decisions: one for each choice, in the order of the config.
        classes: the classes of the classifier with their probabilities and choices, the most probable first; none where detections decide.
    """

    served: ServedChoices
    item: int
    decisions: list[ChoiceDecision]
    classes: list[tuple[ModelClass, float, Assignment | None]]


@dataclass(frozen=True, slots=True)
class Explanation:
    """All decisions that lead to the prediction of a task."""

    boxes: list[ExplainedBoxes]
    choices: list[ExplainedChoices]

    @classmethod
    def of(cls, postprocessor: Postprocessor, found: Mapping[ImageField, Sequence[ModelResults]]) -> Self:
        """Explain the prediction for a task's images, whose results are given by field of its data."""
        boxes = [ExplainedBoxes(*each) for each in postprocessor.explain(found)]
        choices = []
        for served, item, decisions in postprocessor.explain_choices(found):
            classes = served.explain_classes(served.group(found[served.control.image_field], item))
            choices.append(ExplainedChoices(served, item, decisions, classes))
        return cls(boxes, choices)
