"""Thresholds by effort: the score from which showing a box saves more seconds than it costs, in one project."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ml_backend.feedback.evaluation.outcomes import LOWEST
from ml_backend.feedback.evaluation.statistics import Share
from ml_backend.feedback.evaluation.threshold_stats import LabelKey, LabelStats, ThresholdStats
from ml_backend.feedback.learning.effort import (
    MIN_PICTURES,
    EditSeconds,
    EffortFit,
    Floats,
    Judged,
    Saving,
    shown_from,
)
from ml_backend.postprocessing.box_probability import AS_SCORED, Platt
from ml_backend.postprocessing.label_split import LabelSplit

DIGITS = 3  # of thresholds: detectors with low scores need more than the two that people write


@dataclass(frozen=True)
class Effort:
    """Seconds a picture, counted on the annotated images.

    Attributes:
        seconds: of edits.
        before: with the labels and thresholds in force.
        after: with the proposed ones.
        by_effort: with the proposed labels and with thresholds by effort; that of ``after`` where these are proposed.
        saving: that thresholds by effort are expected to bring, under the proposed labels; None where there are too few pictures.
        in_all: that the whole proposal is expected to bring; None where there are too few pictures, or where a target precision sets thresholds.
        pictures: corrected ones.
    """

    seconds: EditSeconds
    before: float
    after: float
    by_effort: float
    saving: Saving | None
    in_all: Saving | None
    pictures: int

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        saving, in_all = (each.to_json() if each else None for each in (self.saving, self.in_all))
        return vars(self) | {"seconds": self.seconds.to_json(), "saving": saving, "in_all": in_all}


class EffortThresholds:
    """The threshold by effort, for all labels together: a label alone has too few boxes.

    Args:
        stats: under the proposed labels of classes, without thresholds.
        thresholds: of the labels now, 0 to 1.
        open_labels: those whose thresholds may change.
        seconds: of edits.

    Attributes:
        threshold: the proposed one, 0 to 1; None if thresholds stay.
        reason: why they stay; else empty.
        saving: that is expected of the best threshold; None with fewer than :data:`MIN_PICTURES` pictures.
        in_all: that is expected of ``threshold`` and of the labels of classes together; None likewise.
    """

    def __init__(
        self,
        stats: ThresholdStats,
        thresholds: Mapping[LabelKey, float],
        open_labels: set[LabelKey],
        seconds: EditSeconds,
    ) -> None:
        self._stats, self._thresholds, self._open, self._seconds = stats, thresholds, open_labels, seconds
        self.threshold: float | None = None
        self.saving: Saving | None = None
        self.in_all: Saving | None = None
        self._platt = AS_SCORED
        if stats.pictures < MIN_PICTURES:
            self.reason = f"{stats.pictures} pictures could be judged, {MIN_PICTURES} are needed"
            return
        fit = EffortFit(_judged(stats, thresholds, open_labels), stats.pictures)
        self._platt = fit.platt
        best = round(float(np.clip(fit.platt.score_for(seconds.worth_showing), LOWEST, 1)), DIGITS)
        self.saving = fit.saving(best, seconds)
        if self.saving.is_sure:
            self.threshold, self.reason = best, ""
        else:
            low, high = self.saving.low, self.saving.high
            self.reason = (
                f"{best:g} would change the effort by {low:+.1f} to {high:+.1f} s a picture, which is not surely less"
            )
        self.in_all = fit.saving(self.threshold, seconds, with_labels=True)

    def class_threshold(self, threshold: float, probability: float) -> float:
        """Return the lowest score that is shown of a class whose label is not certain; more than 1 if no score is enough.

        Args:
            threshold: of its label, 0 to 1.
            probability: of the label for the class.
        """
        needed = shown_from(self._platt, np.array([threshold]), np.array([probability]))
        return round(float(needed[0]), DIGITS)

    def shown(self, split: LabelSplit, thresholds: Mapping[str, float]) -> LabelSplit:
        """Return a split that shows boxes as probable as certain ones of their label at its threshold.

        Args:
            split: of a class.
            thresholds: of the labels, 0 to 1.
        """
        needed = self._platt.probability(np.array([thresholds[label] for label in split.labels]))
        rounded = Platt(round(self._platt.a, DIGITS), round(self._platt.b, DIGITS))
        return replace(split, needed=tuple(np.round(needed, DIGITS).tolist()), platt=rounded)

    def precision(self, stats: LabelStats, threshold: float) -> Share:
        """Return the share of right boxes among those of a label that would be shown at a threshold."""
        shown, right, _ = self._counts(stats, threshold)
        return Share(right, shown)

    def seconds_at(self, thresholds: Mapping[LabelKey, float]) -> float:
        """Return the seconds a picture with the proposed labels of classes and some thresholds of labels."""
        counts = [self._counts(self._stats.of(where), threshold) for where, threshold in thresholds.items()]
        return seconds_of(self._stats, counts, self._seconds)

    def effort(self, before: ThresholdStats, thresholds: Mapping[LabelKey, float]) -> Effort:
        """Return the seconds a picture.

        Args:
            before: the stats under the labels in force.
            thresholds: the proposed ones, 0 to 1.
        """
        now = [_counted(before.of(where), np.array(value)) for where, value in self._thresholds.items()]
        best = {
            where: self.threshold if self.threshold is not None and where in self._open else value
            for where, value in self._thresholds.items()
        }
        return Effort(
            self._seconds,
            seconds_of(before, now, self._seconds),
            self.seconds_at(thresholds),
            self.seconds_at(best),
            self.saving,
            self.in_all if thresholds == best else None,
            before.pictures,
        )

    def _counts(self, stats: LabelStats, threshold: float) -> tuple[int, int, int]:
        sure = np.array(stats.sure, float)
        return _counted(stats, shown_from(self._platt, np.full(len(sure), threshold), sure))


def seconds_of(stats: ThresholdStats, counts: list[tuple[int, int, int]], seconds: EditSeconds) -> float:
    """Return the seconds a picture.

    Args:
        stats: of the annotations.
        counts: for each label, the shown boxes, and those of them that are right and that would be relabeled.
        seconds: of edits.
    """
    shown, right, relabeled = (sum(each[place] for each in counts) for place in range(3))
    drawn = sum(each.drawn.total() for each in stats.labels.values())
    return seconds.a_picture(
        shown=shown, right=right, relabeled=min(relabeled, drawn - right), drawn=drawn, pictures=stats.pictures
    )


def _counted(stats: LabelStats, lowest: Floats) -> tuple[int, int, int]:
    """Return how many boxes have a score of at least ``lowest``, in float32 as scores are, and how many of these are right and relabeled."""
    shown = np.array(stats.scores, np.float32) >= lowest.astype(np.float32)
    right, relabeled = np.array(stats.right, bool), np.array(stats.relabeled, bool)
    return int(shown.sum()), int((shown & right).sum()), int((shown & relabeled).sum())


def _judged(stats: ThresholdStats, thresholds: Mapping[LabelKey, float], open_labels: set[LabelKey]) -> Judged:
    labels = [(stats.of(where), thresholds[where]) for where in thresholds]
    is_open = [np.full(len(stats.of(where).scores), where in open_labels) for where in thresholds]
    return Judged(
        np.concatenate([np.array(each.scores, float) for each, _ in labels] or [np.zeros(0)]),
        np.concatenate([np.array(each.right, bool) for each, _ in labels] or [np.zeros(0, bool)]),
        np.concatenate([np.array(each.sure, float) for each, _ in labels] or [np.zeros(0)]),
        np.concatenate([np.full(len(each.scores), value) for each, value in labels] or [np.zeros(0)]),
        np.concatenate(is_open or [np.zeros(0, bool)]),
        np.concatenate([np.array(each.held, np.uint8) for each, _ in labels] or [np.zeros(0, np.uint8)]),
        np.concatenate([np.array(each.pictures, np.int64) for each, _ in labels] or [np.zeros(0, np.int64)]),
    )
