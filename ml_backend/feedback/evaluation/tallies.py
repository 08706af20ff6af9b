"""Tallies of a report: outcomes of boxes, effort, and the images with the most edits."""

import statistics
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ml_backend.feedback.evaluation.outcomes import DRAWN_OUTCOMES, SHOWN_OUTCOMES, DrawnOutcome, ShownOutcome
from ml_backend.feedback.evaluation.statistics import Share


@dataclass
class Outcomes:
    """Counts of the outcomes of shown and drawn boxes."""

    shown: Counter[str] = field(default_factory=Counter)
    drawn: Counter[str] = field(default_factory=Counter)

    @property
    def precision(self) -> Share:
        """Share of shown boxes that people kept on their object under their label; each is a drawn box that was found."""
        return Share(self.drawn["found"], self.shown.total())

    @property
    def recall(self) -> Share:
        """Share of drawn boxes that had been shown under their label."""
        return Share(self.drawn["found"], self.drawn.total())

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "shown": {name: self.shown[name] for name in SHOWN_OUTCOMES},
            "drawn": {name: self.drawn[name] for name in DRAWN_OUTCOMES},
            "precision": self.precision.to_json(),
            "recall": self.recall.to_json(),
        }


@dataclass
class Effort:
    """Effort of annotations, in edits and in seconds."""

    annotations: int = 0
    edits: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values; the median of the seconds, since breaks count in. Edits of choices stand there if there are any."""
        kinds = ("nudged", "relabeled", "deleted", "added") + ("choices",) * ("choices" in self.edits)
        return {
            "annotations": self.annotations,
            "edits": {name: self.edits[name] for name in kinds},
            "edits_per_picture": self.edits.total() / self.annotations if self.annotations else None,
            "median_seconds": statistics.median(self.seconds) if self.seconds else None,
            "timed": len(self.seconds),
        }


@dataclass(frozen=True)
class OutcomeBox:
    """A box of an image with its outcome."""

    edges: tuple[float, float, float, float]
    label: str
    outcome: ShownOutcome | DrawnOutcome


@dataclass(frozen=True)
class WorstImage:
    """An image with many edits.

    Attributes:
        task, annotation: ids of Label Studio.
        edits: how many of each kind.
        reference: the image reference in the task.
        boxes: shown and drawn boxes with their outcomes.
        url: of the task in Label Studio; empty if its address is not set.
    """

    task: int
    annotation: int
    edits: Counter[str]
    reference: str
    boxes: list[OutcomeBox]
    url: str = ""
