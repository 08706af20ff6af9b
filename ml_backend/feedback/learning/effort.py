"""The effort of annotators: seconds of an edit, the probability from which showing a box saves more than it costs, and the seconds saved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.feedback.evaluation.threshold_stats import NO_LABEL, OTHER_LABEL
from ml_backend.feedback.learning.platt import FLOOR, fit_platt
from ml_backend.postprocessing.box_probability import EDGE, Platt

# Of right boxes, those with an IoU below 0.9: measured on 80 photographs with the shared detector.
ADJUSTED_SHARE = 0.68
MIN_PICTURES = 5  # corrected pictures below which thresholds stay
RESAMPLES = 200
BLOCKS = 200  # pictures are resampled one by one up to this number, and above it in so many groups
BINS = 20.0  # for each unit of logit(score), and for each unit of the label's probability

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class EditSeconds:
    """The seconds that an annotator needs for an edit, above 0.

    Attributes:
        draw: for a box that is missing.
        delete: for a wrong box.
        adjust: for the edges of a right box.
        relabel: for a box under a wrong label.
        look: for a picture, whatever is shown.
    """

    draw: float = 10.0
    delete: float = 2.0
    adjust: float = 4.0
    relabel: float = 3.0
    look: float = 1.0

    @property
    def saved(self) -> float:
        """The seconds that a right box saves: its drawing, less the adjusting that :data:`ADJUSTED_SHARE` of right boxes need."""
        return self.draw - ADJUSTED_SHARE * self.adjust

    @property
    def worth_showing(self) -> float:
        """The probability of being right from which a box saves more seconds than it costs, 0 to 1; 1 where right boxes save nothing."""
        return self.delete / (self.delete + self.saved) if self.saved > 0 else 1.0

    def a_picture(self, *, shown: int, right: int, relabeled: int, drawn: int, pictures: int) -> float:
        """Return the mean seconds a picture.

        Args:
            shown: boxes.
            right: of them, those that stay.
            relabeled: of them, those that stay under another label.
            drawn: boxes in the end.
            pictures: how many there are; 0 for 0 seconds.
        """
        stay = right + relabeled
        edits = self.delete * (shown - stay) + self.draw * (drawn - stay) + self.relabel * relabeled
        edits += self.adjust * ADJUSTED_SHARE * stay
        return self.look + edits / pictures if pictures else 0.0

    def to_json(self) -> dict[str, float]:
        """Return it as plain JSON values."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


@dataclass(frozen=True)
class Judged:
    """Boxes that were judged by what people drew, in no order.

    Attributes:
        scores: float64 [N], 0 to 1.
        right: bool [N].
        sure: float64 [N], probability of the label for the class of each box.
        before: float64 [N], score from which certain boxes of the label are shown now.
        is_open: bool [N], whether the threshold of the label may change.
        held: uint8 [N], the label that the class of each box has now, such as
            :data:`~ml_backend.feedback.evaluation.threshold_stats.SAME_LABEL`.
        pictures: int64 [N], number of the picture of each box.
    """

    scores: Floats
    right: Bools
    sure: Floats
    before: Floats
    is_open: Bools
    held: NDArray[np.uint8]
    pictures: NDArray[np.int64]


@dataclass(frozen=True)
class Saving:
    """The seconds a picture that a change is expected to save.

    Attributes:
        seconds: expected change; negative where they save something.
        low, high: 95 % interval.
    """

    seconds: float
    low: float
    high: float

    @property
    def is_sure(self) -> bool:
        """Whether the interval lies below zero."""
        return self.high < 0

    def __str__(self) -> str:
        return f"{self.seconds:+.1f} s a picture ({self.low:+.1f} to {self.high:+.1f})"

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return vars(self)


class EffortFit:
    """The probability of boxes, and the saving of other thresholds, from judged boxes.

    Boxes are counted in bins, and pictures in at most :data:`BLOCKS` groups, so resampling takes as long for millions of boxes as for
    thousands.

    Args:
        judged: the boxes.
        pictures: number of judged pictures, also of those without boxes.
    """

    def __init__(self, judged: Judged, pictures: int) -> None:
        used = judged.scores >= FLOOR
        inside = np.clip(judged.scores[used], EDGE, 1 - EDGE)
        scores, sure = np.round(np.log(inside / (1 - inside)) * BINS), np.ceil(judged.sure[used] * BINS)
        rest = [judged.right, judged.before, judged.is_open, judged.held]
        bins, place = _distinct([scores, sure, *(each[used] for each in rest)])
        self.pictures = pictures
        self._scores = 1 / (1 + np.exp(-bins[0] / BINS))
        self._sure = bins[1] / BINS
        self._right, self._before, self._is_open, self._held = bins[2:]
        blocks = max(1, min(pictures, BLOCKS))
        self._counts = np.zeros((blocks, len(self._scores)))
        np.add.at(self._counts, (judged.pictures[used] % blocks, place), 1)
        self.platt = self._fit(self._counts.sum(axis=0))

    def _fit(self, counts: Floats) -> Platt:
        # A stated threshold is a score: boxes of its label say nothing on the probability that the other labels' scores stand for.
        return fit_platt(self._scores, self._right, self._sure, counts * self._is_open)

    def saving(self, after: float | None, seconds: EditSeconds, *, with_labels: bool = False) -> Saving:
        """Return the expected saving of another threshold, with an interval from resampled pictures.

        Each resample has a fit of its own, which says what the boxes between both thresholds cost and save. Counted seconds differ by chance where
        pictures are few: with 80 labels and 20 of the 80 photographs, their interval was below zero in 1 of 20 orders, and the new threshold
        was better in 15.

        Args:
            after: score from which certain boxes of open labels would be shown, 0 to 1; None for that of now.
            seconds: of edits.
            with_labels: whether the new labels of classes save something too. A box whose class has no label now is not shown now. One whose
                class has another label now is worth the relabeling that it spares those who call it by the new label, and costs the others.
        """
        chance = np.random.default_rng(0)  # the same annotations always give the same answer
        blocks = len(self._counts)
        draws = chance.multinomial(blocks, np.full(blocks, 1 / blocks), RESAMPLES)
        lowest = self._before if after is None else np.where(self._is_open, after, self._before)
        now = self._scores >= shown_from(self.platt, self._before, self._sure)
        then = self._scores >= shown_from(self.platt, lowest, self._sure)
        if with_labels:
            now &= self._held != NO_LABEL
        more = then.astype(float) - now  # 1 for boxes that appear, -1 for those that vanish
        spared = (then & now & (self._held == OTHER_LABEL)) * (2 * self._sure - 1) if with_labels else 0 * more

        def expected(counts: Floats, platt: Platt) -> float:
            box = platt.probability(self._scores)
            right = self._sure * box
            change = more * ((1 - right) * seconds.delete - right * seconds.saved) - spared * box * seconds.relabel
            return float((counts * change).sum()) / max(1, self.pictures)

        counts = [draw @ self._counts for draw in draws] if more.any() or spared.any() else []
        found = [expected(each, self._fit(each)) for each in counts] or [0.0]
        low, high = np.quantile(found, [0.025, 0.975]).tolist()
        return Saving(expected(self._counts.sum(axis=0), self.platt), low, high)


def _distinct(columns: Sequence[NDArray[Any]]) -> tuple[list[NDArray[Any]], NDArray[np.intp]]:
    """Return the distinct rows of columns, as columns, and the place of each row among them.

    The rows become numbers first: numpy sorts numbers without Python's lock, and rows with it, which stops a service for seconds.
    """
    values, places = zip(*(np.unique(column, return_inverse=True) for column in columns), strict=True)
    sizes = [max(1, len(each)) for each in values]
    found, place = np.unique(np.ravel_multi_index(places, sizes), return_inverse=True)
    return [each[column] for each, column in zip(values, np.unravel_index(found, sizes), strict=True)], place


def shown_from(platt: Platt, thresholds: Floats, sure: Floats) -> Floats:
    """Return the scores from which boxes are as probable as certain ones of their label at its threshold.

    Args:
        platt: of the boxes.
        thresholds: float64 [N], scores from which certain boxes are shown.
        sure: float64 [N], probability of the label for the class of each box, above 0.

    Returns:
        float64 [N]; more than 1 where no score is enough.
    """
    needed = platt.probability(thresholds) / sure
    return np.where(sure >= 1, thresholds, np.maximum(platt.scores_for(needed), thresholds))


def edit_seconds(stated: Mapping[str, float], found: EditSeconds | None) -> EditSeconds:
    """Return the seconds of edits: those that settings state, else those found in the project, else the defaults.

    Args:
        stated: seconds by the name of an attribute of :class:`EditSeconds`.
        found: measured in the project; None for nothing.
    """
    return EditSeconds(**{**(found or EditSeconds()).to_json(), **stated})
