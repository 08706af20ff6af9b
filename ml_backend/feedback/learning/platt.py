"""The probability that a box is right, from its score: Platt scaling with a prior, so that few boxes change little.

The model is logit P = a + b logit(score) with a ~ N(0, 1) and b ~ N(1, 0.5²). Without boxes, P is the score (J. Platt, "Probabilistic outputs
for support vector machines", 1999; a maximum a posteriori fit in place of his smoothed targets).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FLOOR = 0.02  # lowest score in the fit: below it nearly all boxes are wrong, and there are many
MEAN, DEVIATION = np.array([0.0, 1.0]), np.array([1.0, 0.5])  # of the prior of a and b
STEPS = 50  # it converges in fewer than ten
EDGE = 1e-6  # scores of 0 and 1 have no logit

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Platt:
    """The probability of boxes by their score.

    Attributes:
        a, b: of logit P = a + b logit(score); b is positive.
    """

    a: float = 0.0
    b: float = 1.0

    def probability(self, scores: NDArray[np.floating]) -> Floats:
        """Return the probability that boxes are right, float64 of the shape of the scores, which are 0 to 1."""
        return _sigmoid(self.a + self.b * _logit(scores))

    def score_for(self, probability: float) -> float:
        """Return the score at which boxes have a probability; both 0 to 1, and more than 1 where no score is enough."""
        if probability >= 1:
            return 2.0
        return float(_sigmoid((_logit(np.array(probability)) - self.a) / self.b))


AS_SCORED = Platt()


def fit_platt(
    scores: Floats, right: NDArray[np.bool_], sure: Floats | None = None, counts: Floats | None = None
) -> Platt:
    """Fit the probability that boxes are right.

    Boxes of classes whose label is learned are right with the product of this probability and that of the label. Fisher scoring, which is
    Newton's method where ``sure`` is 1, with halved steps where the posterior would fall.

    Args:
        scores: float64 [N], 0 to 1; those below :data:`FLOOR` are left out.
        right: bool [N].
        sure: [N], probability of the label for the class of each box, above 0; 1 by default.
        counts: [N], number of boxes of each row; 1 by default.
    """
    used = scores >= FLOOR
    x = np.stack([np.ones(int(used.sum())), _logit(scores[used])], axis=1)
    y = right[used].astype(np.float64)
    pi = np.ones(len(y)) if sure is None else sure[used].astype(np.float64)
    n = np.ones(len(y)) if counts is None else counts[used]
    at = MEAN.copy()
    now = _log_posterior(at, x, y, pi, n)
    for _ in range(STEPS):
        s = _sigmoid(x @ at)
        p = np.clip(pi * s, EDGE, 1 - EDGE)
        slope = pi * s * (1 - s)
        gradient = x.T @ (n * (y - p) / (p * (1 - p)) * slope) - (at - MEAN) / DEVIATION**2
        information = (x * (n * slope**2 / (p * (1 - p)))[:, None]).T @ x + np.diag(1 / DEVIATION**2)
        step = np.linalg.solve(information, gradient)
        while True:
            after = at + step
            new = _log_posterior(after, x, y, pi, n)
            if after[1] > 0 and new >= now:
                break
            step = step / 2
            if np.abs(step).max() < EDGE:
                return Platt(float(at[0]), float(at[1]))
        at, now = after, new
        if np.abs(step).max() < EDGE:
            break
    return Platt(float(at[0]), float(at[1]))


def _log_posterior(at: Floats, x: Floats, y: Floats, pi: Floats, n: Floats) -> float:
    p = np.clip(pi * _sigmoid(x @ at), EDGE, 1 - EDGE)
    likelihood = float((n * (y * np.log(p) + (1 - y) * np.log(1 - p))).sum())
    return likelihood - float((((at - MEAN) / DEVIATION) ** 2).sum()) / 2


def _logit(values: NDArray[np.floating]) -> Floats:
    inside = np.clip(np.asarray(values, np.float64), EDGE, 1 - EDGE)
    logits: Floats = np.log(inside / (1 - inside))
    return logits


def _sigmoid(values: Floats) -> Floats:
    # The two forms of the function, each where its exponential stays small.
    small = np.exp(-np.abs(values))
    return np.where(values >= 0, 1 / (1 + small), small / (1 + small))
