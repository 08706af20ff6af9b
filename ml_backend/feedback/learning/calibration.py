"""Calibrates thresholds and the label map from corrections, by effort or to a target precision. It retrains nothing, and runs no model."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from ml_backend.feedback.evaluation.statistics import Share, wilson
from ml_backend.feedback.evaluation.threshold_stats import (
    GRID,
    MIN_BOXES,
    LabelKey,
    LabelStats,
    begin,
    labels_of,
    threshold_in,
)
from ml_backend.feedback.learning.class_evidence import ClassEvidence
from ml_backend.feedback.learning.class_labels import ClassLabel, learn_labels
from ml_backend.feedback.learning.edit_times import EditTimes
from ml_backend.feedback.learning.effort import edit_seconds
from ml_backend.feedback.learning.effort_thresholds import Effort, EffortThresholds
from ml_backend.feedback.store.annotation_records import Annotation
from ml_backend.label_studio.controls.rectangles import RectangleControl
from ml_backend.postprocessing.overrides import LabelOverrides
from ml_backend.postprocessing.postprocessor import Postprocessor

CHOICES_ONLY = "the project has choices only, and thresholds of choices are not learned: model_score_threshold in the label config sets them"

LIKELY = 0.5  # probability of a label for a class, below which a target precision leaves the class without label

Load = Callable[[], Iterable[Annotation]]


@dataclass(frozen=True)
class LabelChange:
    """The change of one label.

    Attributes:
        where: the label.
        target: precision to reach, 0 to 1; None for a threshold by effort.
        threshold_before, threshold_after: lowest score that is shown, 0 to 1.
        reason: why the threshold stays; empty if it was set.
        precision_before, precision_after: share of right boxes among those shown on the annotated images.
        drawn: number of drawn boxes.
    """

    where: LabelKey
    target: float | None
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
        classes: most probable labels of classes that corrections or relatives say something about.
        effort: seconds a picture.
    """

    overrides: LabelOverrides
    anything: bool
    annotations: int
    labels: list[LabelChange]
    classes: list[ClassLabel]
    effort: Effort

    @property
    def relabelings(self) -> list[ClassLabel]:
        """The classes whose label would be another one than now."""
        return [each for each in self.classes if each.changes]

    @property
    def corrected(self) -> list[ClassLabel]:
        """The classes with evidence of their own, those with most boxes first."""
        return sorted((each for each in self.classes if each.evidence), key=lambda each: -sum(each.evidence.values()))

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values, the evidence of a revision."""
        return {
            "annotations": self.annotations,
            "labels": [each.to_json() for each in self.labels],
            "classes": [each.to_json() for each in self.corrected],
            "relatives": len(self.classes) - len(self.corrected),
            "effort": self.effort.to_json(),
        }


def propose(  # noqa: PLR0913 - each is a choice of the operator
    load: Load,
    label_config: str,
    current: LabelOverrides,
    *,
    score_threshold: float,
    targets: Callable[[RectangleControl], float | None],
    stated_seconds: Mapping[str, float] = MappingProxyType({}),
    tiles: int = 0,
) -> Proposal:
    """Propose overrides from annotations.

    Classes go to the label that people most probably call them (:mod:`~ml_backend.feedback.learning.class_labels`). A label gets the threshold
    from which a box saves more seconds than it costs (:mod:`~ml_backend.feedback.learning.effort`), if that surely saves something. A box of a
    class whose label is not certain is shown where the product of both probabilities is as high as that of a certain one at its label's
    threshold; that is a threshold of the class, or of each box where the boxes of a class have several labels
    (:mod:`~ml_backend.feedback.learning.class_splits`).

    Under a control with a target, each label gets the lowest threshold of :data:`GRID` at which at least :data:`MIN_BOXES` boxes are shown
    and the lower end of the 95 % Wilson interval of their precision reaches the target, and classes get labels that are at least
    :data:`LIKELY`.

    Args:
        load: returns the annotations; it is called twice.
        label_config: of the project; its own attributes take precedence.
        current: overrides in force.
        score_threshold: general threshold, 0 to 1.
        targets: returns the precision to reach for the labels of a control, 0 to 1, or None for thresholds by effort.
        stated_seconds: of edits, by the name of an attribute of :class:`~ml_backend.feedback.learning.effort.EditSeconds`; the others are
            measured in the project, if enough annotations have a time.
        tiles: number of tiles along each side for controls that do not say, at most.

    Raises:
        LabelConfigError: the label config cannot be served.
    """

    def postprocessor_of(overrides: LabelOverrides) -> Postprocessor:
        return Postprocessor.from_label_config(
            label_config, score_threshold=score_threshold, overrides=overrides, tiles=tiles
        )

    # Without overrides, the threshold of a label is that of the label config.
    plain, now = postprocessor_of(LabelOverrides()), postprocessor_of(current)
    own = {control.from_name: control for control, _ in plain.rectangles}
    evidence, times = ClassEvidence(plain), EditTimes(now)
    for annotation in load():
        evidence.add(annotation)
        times.add(annotation)
    seconds = edit_seconds(stated_seconds, times.measured())
    wanted = {name: targets(control) for name, control in own.items()}
    thresholds = {where: threshold_in(now, where) for where in labels_of(now)}
    lowest = min([seconds.worth_showing, *thresholds.values()])
    classes = [
        each
        for each in learn_labels(evidence, plain, now, lowest)
        if wanted[each.control] is None or each.highest >= LIKELY
    ]
    labels = {(each.control, each.known): each.label for each in classes if each.learned}
    splits = {(each.control, each.known): each.split for each in classes if each.split is not None}
    before, after = begin(now), begin(postprocessor_of(LabelOverrides.of({}, labels, splits=splits)))
    after.sure = {
        (each.control, each.known): each.probability
        for each in classes
        if each.learned and each.split is None and wanted[each.control] is None
    } | {which: 1.0 for which in splits if wanted[which[0]] is not None}
    after.held = {(each.control, each.known): each.before for each in classes if each.learned and each.changes}
    if not labels and not current.classes and not current.branches and not current.splits:
        before = after  # the same label maps
    for annotation in load():
        after.add_annotation(annotation)
        if before is not after:
            before.add_annotation(annotation)
    reasons = {where: _stated(own[where.control], where) for where in thresholds}
    by_effort = EffortThresholds(
        after, dict(thresholds), {where for where in thresholds if not reasons[where]}, seconds
    )
    learned = {(control, label): value for control, label, value in current.thresholds}
    changes = []
    for where in labels_of(now):
        target, stats = wanted[where.control], after.of(where)
        reason, new = reasons[where], None
        if not reason and target is not None:
            new, reason = _threshold(stats, target)
        elif not reason:
            new, reason = by_effort.threshold, by_effort.reason
        if new is not None:
            learned[where] = thresholds[where] = new
        changes.append(
            LabelChange(
                where,
                target,
                threshold_in(now, where),
                thresholds[where],
                reason,
                before.of(where).precision(threshold_in(now, where)),
                by_effort.precision(stats, thresholds[where]),
                stats.drawn.total(),
            )
        )
    class_thresholds = {
        (each.control, each.known): by_effort.class_threshold(
            thresholds[LabelKey(each.control, each.label)], each.probability
        )
        for each in classes
        if each.learned and each.split is None and wanted[each.control] is None
    }
    splits_shown = {
        which: by_effort.shown(split, {label: thresholds[LabelKey(which[0], label)] for label in split.labels})
        if wanted[which[0]] is None
        else split
        for which, split in splits.items()
    }
    shown = {which: label for which, label in labels.items() if class_thresholds.get(which, 0) <= 1}
    overrides = LabelOverrides.of(
        {where: value for where, value in learned.items() if where in thresholds},
        shown,
        class_thresholds={
            which: value
            for which, value in class_thresholds.items()
            if thresholds[LabelKey(which[0], labels[which])] < value <= 1
        },
        splits=splits_shown,
    )
    changed = postprocessor_of(replace(overrides, revision=current.revision)).digest != now.digest
    return Proposal(
        overrides,
        changed,
        before.annotations,
        changes,
        [each for each in classes if not each.learned or (each.control, each.known) in shown],
        by_effort.effort(before, thresholds),
    )


def _stated(control: RectangleControl, where: LabelKey) -> str:
    """Return why the label config leaves the threshold of a label open to no correction; empty if it does."""
    label = next(each for each in control.labels if each.value == where.label)
    stated = label.score_threshold if label.score_threshold is not None else control.score_threshold
    if stated is not None:
        return f"the label config states {stated:g}"
    return "the label config hides the label (model_skip)" if control.skip or label.skip else ""


def _threshold(stats: LabelStats, target: float) -> tuple[float | None, str]:
    """Return the threshold that reaches a target precision, or None and the reason why the label keeps its own."""
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
