"""The probability that a box is right, by its score. :mod:`ml_backend.feedback.learning.platt` fits it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
        return sigmoid(self.a + self.b * logit(scores))

    def score_for(self, probability: float) -> float:
        """Return the score at which boxes have a probability; both 0 to 1, and more than 1 where no score is enough."""
        return float(self.scores_for(np.array(probability)))

    def scores_for(self, probabilities: Floats) -> Floats:
        """Return the score at which boxes have each probability, in the same shape; as :meth:`score_for`."""
        return np.where(probabilities >= 1, 2.0, sigmoid((logit(probabilities) - self.a) / self.b))


AS_SCORED = Platt()


def logit(values: NDArray[np.floating]) -> Floats:
    """Return log(p / (1 - p)) of probabilities, in their shape; 0 and 1 count as nearly so."""
    inside = np.clip(np.asarray(values, np.float64), EDGE, 1 - EDGE)
    logits: Floats = np.log(inside / (1 - inside))
    return logits


def sigmoid(values: Floats) -> Floats:
    """Return 1 / (1 + exp(-x)) of each value, in their shape."""
    # The two forms of the function, each where its exponential stays small.
    small = np.exp(-np.abs(values))
    return np.where(values >= 0, 1 / (1 + small), small / (1 + small))
