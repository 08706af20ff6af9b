"""The effort of annotators: seconds of an edit, the probability from which showing a box saves more than it costs, and the seconds saved."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.feedback.learning.platt import EDGE, FLOOR, Platt, fit_platt

ADJUSTED_SHARE = (
    0.68  # of right boxes, those with an IoU below 0.9: measured on 80 photographs with the shared detector
)
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
        pictures: int64 [N], number of the picture of each box.
    """

    scores: Floats
    right: Bools
    sure: Floats
    pictures: NDArray[np.int64]


@dataclass(frozen=True)
class Saving:
    """The seconds a picture that thresholds are expected to save.

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
        keys = np.stack(
            [np.round(np.log(inside / (1 - inside)) * BINS), np.ceil(judged.sure[used] * BINS), judged.right[used]], 1
        )
        bins, place = np.unique(keys, axis=0, return_inverse=True)
        self.pictures = pictures
        self._scores = 1 / (1 + np.exp(-bins[:, 0] / BINS))
        self._sure = bins[:, 1] / BINS
        self._right = bins[:, 2].astype(bool)
        blocks = max(1, min(pictures, BLOCKS))
        self._counts = np.zeros((blocks, len(bins)))
        np.add.at(self._counts, (judged.pictures[used] % blocks, place.ravel()), 1)
        self.platt = self._fit(self._counts.sum(axis=0))

    def _fit(self, counts: Floats) -> Platt:
        return fit_platt(self._scores, self._right, self._sure, counts)

    def saving(self, before: float, after: float, seconds: EditSeconds) -> Saving:
        """Return the expected saving of another threshold, with an interval from resampled pictures.

        Each resample has a fit of its own, which says what the boxes between both thresholds cost and save. The difference of counted seconds
        would be more obvious, but 20 pictures decide by chance there: on the 80 photographs its interval was below zero in 1 split
        of 20 where the thresholds did help in most.

        Args:
            before: score from which boxes are shown now, 0 to 1.
            after: score from which they would be shown.
            seconds: of edits.
        """
        chance = np.random.default_rng(0)  # the same annotations always give the same answer
        blocks = len(self._counts)
        draws = chance.multinomial(blocks, np.full(blocks, 1 / blocks), RESAMPLES)
        expected = self._expected(self._counts.sum(axis=0), self.platt, before, after, seconds)
        resampled = [draw @ self._counts for draw in draws]
        found = [self._expected(counts, self._fit(counts), before, after, seconds) for counts in resampled]
        low, high = np.quantile(found, [0.025, 0.975]).tolist()
        return Saving(expected, low, high)

    def _expected(self, counts: Floats, platt: Platt, before: float, after: float, seconds: EditSeconds) -> float:
        low, high = sorted((before, after))
        between = (self._scores >= low) & (self._scores < high)
        right = self._sure[between] * platt.probability(self._scores[between])
        worth = (counts[between] * (right * seconds.saved - (1 - right) * seconds.delete)).sum()
        return float(worth if after > before else -worth) / max(1, self.pictures)


def measured(stated: dict[str, float | None], found: EditSeconds | None) -> EditSeconds:
    """Return the seconds of edits: those that settings state, else those found in the project, else the defaults."""
    defaults = found or EditSeconds()
    return EditSeconds(**defaults.to_json() | {name: value for name, value in stated.items() if value is not None})
