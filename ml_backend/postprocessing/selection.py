"""Decides what becomes of each detection under one control, in this order: label, skip, picture, score, size, overlap, number."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ml_backend.detections import Detections, iou
from ml_backend.label_studio.controls.control import Control, Label
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
    """What became of one detection.

    Attributes:
        row: of the detection.
        assignment: the label that its class goes to, and why; None where it goes to none.
        kind: what became of it.
        reason: the same in words, with the figures that decided.
    """

    row: int
    assignment: Assignment | None
    kind: DecisionKind
    reason: str

    @property
    def label(self) -> str:
        """The project's label, or empty."""
        return self.assignment.label.value if self.assignment else ""


def select(
    detections: Detections, control: Control, label_map: LabelMap, default_threshold: float | None
) -> list[FilterDecision]:
    """Give each detection exactly one fate.

    Args:
        detections: everything that was found in one image.
        control: the control tag.
        label_map: which label of it a class goes to.
        default_threshold: lowest score that is shown where neither label nor control say otherwise, 0 to 1. None is for those who
            choose a threshold afterwards: no score is too low, there is no limit on the number, and no label suppresses another. Since
            a box is only ever suppressed by a better one of its label, what is kept then at or above a threshold is what that
            threshold would show. With ``nms_across_labels`` it would show those but for the boxes that better ones of other labels
            suppress: which of these are shown is up to their own thresholds, which are not known then.

    Returns:
        One fate for each detection, in their order.
    """
    areas = visible(detections.boxes)[:, 2:].prod(axis=1) / 100  # percent of the picture
    decisions = []
    for row, (name, mid) in enumerate(zip(detections.class_names, detections.class_mids, strict=True)):
        assignment = label_map.assignment(name, mid)
        score, area = float(detections.scores[row]), float(areas[row])
        decisions.append(
            FilterDecision(row, assignment, *_alone(name, assignment, control, score, area, default_threshold))
        )
    _suppress(decisions, detections, control.nms_iou)
    if default_threshold is not None:
        if control.nms_across_labels:
            _suppress(decisions, detections, control.nms_iou, across_labels=True)
        _limit(decisions, detections.scores.tolist(), control.max_regions)
    return decisions


def _alone(
    name: str,
    assignment: Assignment | None,
    control: Control,
    score: float,
    area: float,
    default_threshold: float | None,
) -> tuple[DecisionKind, str]:
    """Decide what can be decided without looking at the other detections."""
    if assignment is None:
        return "not in this project", f"not in this project ({name})"
    label = assignment.label
    if control.skip or label.skip:
        return "skipped", 'model_skip="true"'
    if area <= 0:
        return "outside the picture", "nothing of the box that can be drawn is inside the picture"
    threshold = threshold_of(label, control, default_threshold)
    if score < as_score(threshold):
        return "below the threshold", f"below {threshold:.2f} ({score:.2f})"
    if area < control.min_area:
        return "too small", f"smaller than {control.min_area:g} % of the picture ({area:.3f} %)"
    return "kept", f"kept as {label.value} {score:.2f}"


def threshold_of(label: Label, control: Control, default_threshold: float | None) -> float:
    """Return the lowest score that is shown: the label's, else the control's, else the default's; where that is None, 0."""
    if default_threshold is None:
        return 0.0
    return next(
        each for each in (label.score_threshold, control.score_threshold, default_threshold) if each is not None
    )


def as_score(threshold: float) -> float:
    """Return the float32 nearest to a threshold, since scores are float32: a threshold of 0.7 shows a score of 0.7."""
    return float(np.float32(threshold))


def _suppress(
    decisions: Sequence[FilterDecision], detections: Detections, limit: float, *, across_labels: bool = False
) -> None:
    """Suppress boxes that overlap a better one: greedy non-maximum suppression, the best score first.

    Label by label, by the project's words: Car and Taxi on one object become one Vehicle, while Clothing on a Person stays. Across
    labels it comes second, among what the first leaves: so it only takes boxes away, whatever the thresholds are.
    """
    kept = sorted(
        (decision for decision in decisions if decision.kind == "kept"),
        key=lambda decision: -detections.scores[decision.row],
    )
    boxes = detections.boxes[[decision.row for decision in kept]]
    overlaps = iou(boxes, boxes)
    winners: dict[str, list[int]] = {}  # places in ``kept``
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
