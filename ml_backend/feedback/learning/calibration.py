"""Calibrates thresholds and the label map from corrections to a target precision. It retrains nothing and does not rerun the model."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from ml_backend.feedback.evaluation.statistics import Share, wilson
from ml_backend.feedback.evaluation.threshold_stats import (
    GRID,
    MIN_BOXES,
    LabelKey,
    LabelStats,
    gather,
    labels_of,
    threshold_in,
)
from ml_backend.feedback.learning.relabeling import Relabeling, relabelings_of
from ml_backend.feedback.store.annotation_records import Annotation
from ml_backend.label_studio.controls.rectangles import RectangleControl
from ml_backend.postprocessing.overrides import LabelOverrides
from ml_backend.postprocessing.postprocessor import Postprocessor

CHOICES_ONLY = "the project has choices only, and thresholds of choices are not learned: model_score_threshold in the label config sets them"

Load = Callable[[], Iterable[Annotation]]


@dataclass(frozen=True)
class LabelChange:
    """The change of one label.

    Attributes:
        where: the label.
        target: precision to reach, 0 to 1.
        threshold_before, threshold_after: lowest score that is shown, 0 to 1.
        reason: why the threshold stays; empty if it was set.
        precision_before, precision_after: share of right boxes among those shown on the annotated images.
        drawn: number of drawn boxes.
    """

    where: LabelKey
    target: float
    threshold_before: float
    threshold_after: float
    reason: str
    precision_before: Share
    precision_after: Share
    drawn: int

    @property
    def wrong_spared(self) -> int:
        """Wrong boxes that are not shown any more; negative if there are more than before."""
        before, after = self.precision_before, self.precision_after
        return (before.total - before.hits) - (after.total - after.hits)

    @property
    def right_lost(self) -> int:
        """Right boxes that are not shown any more; negative if there are more than before."""
        return self.precision_before.hits - self.precision_after.hits

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "control": self.where.control,
            "label": self.where.label,
            "target": self.target,
            "threshold_before": self.threshold_before,
            "threshold_after": self.threshold_after,
            "reason": self.reason,
            "shown_before": self.precision_before.total,
            "right_before": self.precision_before.hits,
            "shown_after": self.precision_after.total,
            "right_after": self.precision_after.hits,
            "precision_after_interval": self.precision_after.interval,
            "drawn": self.drawn,
        }


@dataclass(frozen=True)
class Proposal:
    """Proposed overrides, and the changes that they would make on the annotated images.

    Attributes:
        overrides: complete, not only the changes.
        anything: whether they differ from those in force.
        annotations: how many the proposal rests on.
        labels: the change of each label of the project; none for a project that has choices only.
        relabelings: new labels for classes.
    """

    overrides: LabelOverrides
    anything: bool
    annotations: int
    labels: list[LabelChange]
    relabelings: list[Relabeling]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values, the evidence of a revision."""
        return {
            "annotations": self.annotations,
            "labels": [each.to_json() for each in self.labels],
            "relabelings": [each.to_json() for each in self.relabelings],
        }


def propose(
    load: Load,
    label_config: str,
    current: LabelOverrides,
    *,
    score_threshold: float,
    targets: Callable[[RectangleControl], float],
    tiles: int = 0,
) -> Proposal:
    """Propose overrides from annotations.

    Each label gets the lowest threshold of :data:`GRID` at which at least :data:`MIN_BOXES` boxes are shown and the lower end of the 95 %
    Wilson interval of their precision reaches the target. A class that people consistently call by one label gets that label
    (:mod:`~ml_backend.feedback.learning.relabeling`).

    Args:
        load: returns the annotations; it is called several times.
        label_config: of the project; its own attributes take precedence.
        current: overrides in force.
        score_threshold: general threshold, 0 to 1.
        targets: returns the precision to reach for the labels of a control, 0 to 1.
        tiles: number of tiles along each side for controls that do not say, at most.

    Raises:
        LabelConfigError: the label config cannot be served.
    """

    def postprocessor_of(overrides: LabelOverrides) -> Postprocessor:
        return Postprocessor.from_label_config(
            label_config, score_threshold=score_threshold, overrides=overrides, tiles=tiles
        )

    # Without overrides, the threshold of a label is that of the label config.
    own = {control.from_name: control for control, _ in postprocessor_of(LabelOverrides()).rectangles}
    before = gather(load(), postprocessor_of(current))
    relabelings = relabelings_of(before)
    classes = {(control, known): label for control, known, label in current.classes}
    classes |= {(each.control, each.known): each.label for each in relabelings if not each.kinds}
    branches = {(control, known): label for control, known, label in current.branches}
    branches |= {(each.control, each.known): each.label for each in relabelings if each.kinds}
    thresholds: dict[tuple[str, str], float] = {(control, label): value for control, label, value in current.thresholds}
    mapped = LabelOverrides.of(thresholds, classes, branches)
    after = gather(load(), postprocessor_of(mapped)) if relabelings else before
    changes = []
    for where in labels_of(after.postprocessor):
        control = own[where.control]
        target = targets(control)
        old = threshold_in(before.postprocessor, where)
        new, reason = _threshold(after.of(where), control, where, target)
        if new is not None:
            thresholds[where] = new
        shown_at = old if new is None else new
        changes.append(
            LabelChange(
                where,
                target,
                old,
                shown_at,
                reason,
                before.of(where).precision(old),
                after.of(where).precision(shown_at),
                after.of(where).drawn.total(),
            )
        )
    there = set(labels_of(after.postprocessor))
    overrides = LabelOverrides.of(
        {where: value for where, value in thresholds.items() if where in there}, classes, branches
    )
    changed = postprocessor_of(replace(overrides, revision=current.revision)).digest != before.postprocessor.digest
    return Proposal(overrides, changed, before.annotations, changes, relabelings)


def _threshold(
    stats: LabelStats, control: RectangleControl, where: LabelKey, target: float
) -> tuple[float | None, str]:
    """Return the new threshold of a label, or None and the reason why it keeps its own."""
    label = next(each for each in control.labels if each.value == where.label)
    stated = label.score_threshold if label.score_threshold is not None else control.score_threshold
    if stated is not None:
        return None, f"the label config states {stated:g}"
    if control.skip or label.skip:
        return None, "the label config hides the label (model_skip)"
    shown, right = stats.at_every_threshold()
    if shown[0] < MIN_BOXES:
        return None, f"{shown[0]} boxes could be judged, {MIN_BOXES} are needed"
    ends = [
        wilson(int(hits), int(total))[0] if total >= MIN_BOXES else 0.0
        for hits, total in zip(right, shown, strict=True)
    ]
    for threshold, end in zip(GRID.tolist(), ends, strict=True):
        if end >= target:
            return threshold, ""
    best = max(range(len(ends)), key=ends.__getitem__)
    return (
        None,
        f"precision is surely above {ends[best]:.2f} at most (at {GRID[best]:.2f}), {target:g} is wanted",
    )
