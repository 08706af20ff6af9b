"""``ModelResults``: the results of all models for one image."""

from dataclasses import dataclass
from typing import Literal

from ml_backend.classification import Classification
from ml_backend.detections import Detections

ModelKind = Literal["detector", "classifier"]


@dataclass(frozen=True, slots=True)
class ModelResults:
    """The results of the models that were asked for, at least one.

    Attributes:
        detections: of the detector.
        classification: of the classifier.
    """

    detections: Detections | None = None
    classification: Classification | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the displayed image, in pixels."""
        result = self.classification if self.detections is None else self.detections
        if result is None:
            raise ValueError("no model was asked for")
        return result.width, result.height

    @property
    def boxes(self) -> Detections:
        """The detections, where they were asked for."""
        if self.detections is None:
            raise ValueError("the detector was not asked for")
        return self.detections

    @property
    def probabilities(self) -> Classification:
        """The classification, where it was asked for."""
        if self.classification is None:
            raise ValueError("the classifier was not asked for")
        return self.classification
