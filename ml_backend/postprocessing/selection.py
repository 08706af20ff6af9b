"""Selection of the detections that one control shows, by label, skip, image, score, size, overlap and number, in this order."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from ml_backend.detections import Detections, iou
from ml_backend.label_studio.controls.control import Control, Label
from ml_backend.label_studio.controls.rectangles import RectangleControl
from ml_backend.label_studio.geometry import visible
from ml_backend.postprocessing.label_map import Assignment, LabelMap

DecisionKind = Literal[
    "kept",
    "not in this project",
    "skipped",
    "outside the picture",
    "below the threshold",
    "too small",
    "suppressed",
    "over the limit",
]


@dataclass(slots=True)
class FilterDecision:
    """The decision on one detection: shown, or the reason why not.

    Attributes:
        row: of the detection.
        assignment: the label of its class, and the rule; None where the class has none.
        kind: the decision.
        reason: the decision as a text with the decisive figures.
    """

    row: int
    assignment: Assignment | None
    kind: DecisionKind
    reason: str

    @property
    def label(self) -> str:
        """The label of the project, or empty."""
        return self.assignment.label.value if self.assignment else ""


def select(
    detections: Detections, control: RectangleControl, label_map: LabelMap, default_threshold: float | None
) -> list[FilterDecision]:
    """Decide on each detection in one image.

    Args:
        detections: all detections in the image.
        control: the control tag.
        label_map: of the control.
        default_threshold: lowest score that is shown where neither label nor control has a threshold, 0 to 1. With None there is no
            threshold (except for those of classes), no limit on the number, and no suppression across labels, for callers that choose a
            threshold afterwards. A box is suppressed only by a better one of its label, so the boxes kept at or above a threshold are those
            that this threshold would show. With ``nms_across_labels`` it would show fewer; which ones depends on the thresholds of the other labels.

    Returns:
        One decision for each detection, in their order.
    """
    areas = (visible(detections.boxes)[:, 2:].prod(axis=1) / 100).tolist()  # percent of the picture
    scores = detections.scores.tolist()
    decisions = []
    for row, assignment in enumerate(label_map.assignments(detections)):
        alone = _alone(detections.class_names[row], assignment, control, scores[row], areas[row], default_threshold)
        decisions.append(FilterDecision(row, assignment, *alone))
    _suppress(decisions, detections, control.nms_iou)
    if default_threshold is not None:
        if control.nms_across_labels:
            _suppress(decisions, detections, control.nms_iou, across_labels=True)
        _limit(decisions, scores, control.max_regions)
    return decisions


def _alone(
    name: str,
    assignment: Assignment | None,
    control: RectangleControl,
    score: float,
    area: float,
    default_threshold: float | None,
) -> tuple[DecisionKind, str]:
    """Apply the rules that do not depend on other detections."""
    if assignment is None:
        return "not in this project", f"not in this project ({name})"
    label = assignment.label
    if control.skip or label.skip:
        return "skipped", 'model_skip="true"'
    if area <= 0:
        return "outside the picture", "nothing of the box that can be drawn is inside the picture"
    sure = certainty(assignment)
    threshold = max(threshold_of(label, control, default_threshold), assignment.threshold)
    if score < as_score(threshold):
        needed = f"below {threshold:.2f}" if threshold <= 1 else "no score is high enough"
        return "below the threshold", f"{needed} ({score:.2f}){sure}"
    if area < control.min_area:
        return "too small", f"smaller than {control.min_area:g} % of the picture ({area:.3f} %)"
    return "kept", f"kept as {label.value} {score:.2f}{sure}"


def certainty(assignment: Assignment) -> str:
    """Return the part of a reason with the probability of the label, for a class whose boxes have several; else an empty text."""
    return f", {assignment.label.value} by {assignment.probability:.0%}" if assignment.split else ""


def threshold_of(label: Label, control: Control, default_threshold: float | None) -> float:
    """Return the lowest score that is shown: that of the label, else of the control, else the default; 0 where the default is None."""
    if default_threshold is None:
        return 0.0
    return next(
        each for each in (label.score_threshold, control.score_threshold, default_threshold) if each is not None
    )


@lru_cache(1000)  # called for each detection, with few thresholds
def as_score(threshold: float) -> float:
    """Return the float32 nearest to a threshold, since scores are float32: a threshold of 0.7 shows a score of 0.7."""
    return float(np.float32(threshold))


def _suppress(
    decisions: Sequence[FilterDecision], detections: Detections, limit: float, *, across_labels: bool = False
) -> None:
    """Suppress boxes that overlap a better one: greedy non-maximum suppression, the best score first.

    Boxes are compared within a label of the project: Car and Taxi on one object become one Vehicle, while Clothing on a Person stays.
    Suppression across labels runs second, on the remaining boxes, so it only removes boxes.
    """
    kept = sorted(
        (decision for decision in decisions if decision.kind == "kept"),
        key=lambda decision: -detections.scores[decision.row],
    )
    boxes = detections.boxes[[decision.row for decision in kept]]
    overlaps = iou(boxes, boxes)
    winners: dict[str, list[int]] = {}  # indices into ``kept``
    for place, decision in enumerate(kept):
        above = winners.setdefault("" if across_labels else decision.label, [])
        for better in above:
            if overlaps[place, better] > limit:
                winner, overlap = kept[better], overlaps[place, better]
                other = f"{winner.label}, " if across_labels else ""
                decision.kind, decision.reason = (
                    "suppressed",
                    f"suppressed by #{winner.row + 1} ({other}IoU {overlap:.2f})",
                )
                break
        else:
            above.append(place)


def _limit(decisions: Sequence[FilterDecision], scores: Sequence[float], most: int | None) -> None:
    kept = sorted(
        (decision for decision in decisions if decision.kind == "kept"), key=lambda decision: -scores[decision.row]
    )
    for decision in kept[most:] if most is not None else ():
        decision.kind, decision.reason = "over the limit", f"over the limit of {most} regions"
