"""The probability that a box is right, from its score: Platt scaling with a prior, so that few boxes change little.

The model is logit P = a + b logit(score) with a ~ N(0, 1) and b ~ N(1, 0.5²). Without boxes, P is the score (J. Platt, "Probabilistic outputs
for support vector machines", 1999; a maximum a posteriori fit in place of his smoothed targets).
"""

import numpy as np
from numpy.typing import NDArray

from ml_backend.feedback.learning.newton import Floats, maximum
from ml_backend.postprocessing.box_probability import EDGE, Platt, logit, sigmoid

FLOOR = 0.02  # lowest score in the fit: below it nearly all boxes are wrong, and there are many
MEAN, DEVIATION = np.array([0.0, 1.0]), np.array([1.0, 0.5])  # of the prior of a and b


def fit_platt(
    scores: Floats, right: NDArray[np.bool_], sure: Floats | None = None, counts: Floats | None = None
) -> Platt:
    """Fit the probability that boxes are right.

    Boxes of classes whose label is learned are right with the product of this probability and that of the label. Fisher scoring, which is
    Newton's method where ``sure`` is 1.

    Args:
        scores: float64 [N], 0 to 1; those below :data:`FLOOR` are left out.
        right: bool [N].
        sure: [N], probability of the label for the class of each box, above 0; 1 by default.
        counts: [N], number of boxes of each row; 1 by default.
    """
    used = scores >= FLOOR
    x = np.stack([np.ones(int(used.sum())), logit(scores[used])], axis=1)
    y = right[used].astype(np.float64)
    pi = np.ones(len(y)) if sure is None else sure[used].astype(np.float64)
    n = np.ones(len(y)) if counts is None else counts[used]

    def log_posterior(at: Floats) -> float:
        if at[1] <= 0:
            return -np.inf
        p = np.clip(pi * sigmoid(x @ at), EDGE, 1 - EDGE)
        likelihood = float((n * (y * np.log(p) + (1 - y) * np.log(1 - p))).sum())
        return likelihood - float((((at - MEAN) / DEVIATION) ** 2).sum()) / 2

    def step(at: Floats) -> Floats:
        s = sigmoid(x @ at)
        p = np.clip(pi * s, EDGE, 1 - EDGE)
        slope = pi * s * (1 - s)
        gradient = x.T @ (n * (y - p) / (p * (1 - p)) * slope) - (at - MEAN) / DEVIATION**2
        information = (x * (n * slope**2 / (p * (1 - p)))[:, None]).T @ x + np.diag(1 / DEVIATION**2)
        return np.linalg.solve(information, gradient)

    a, b = maximum(MEAN, log_posterior, step).tolist()
    return Platt(a, b)
