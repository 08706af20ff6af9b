"""Fits split labels: a regularised logistic regression on the features of boxes, on top of the probabilities of the labels for their classes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml_backend.feedback.learning.newton import Floats, maximum

DEVIATION = 1.5  # of the prior of each weight, whose mean is 0


@dataclass(frozen=True)
class SplitFit:
    """The weights of features for labels.

    Attributes:
        centre: mean of each feature, float64 [10]; 0 where it is always unknown.
        weights: float64 [labels, 11], a constant and the features.
        gain: logarithm of the odds of these weights against none, by Laplace's approximation (D. MacKay, "Bayesian interpolation", 1992).
    """

    centre: Floats
    weights: Floats
    gain: float


def fit_split(features: Floats, labels: NDArray[np.intp], probabilities: Floats) -> SplitFit:
    """Fit what tells the labels of boxes apart, beyond the probabilities for their classes.

    Args:
        features: float64 [N, 10] of boxes that people drew; NaN where they are unknown.
        labels: intp [N], place of the label of each.
        probabilities: float64 [N, labels], of each label for the class of each box, above 0.
    """
    known = ~np.isnan(features)
    centre = np.where(known, features, 0).sum(axis=0) / np.maximum(1, known.sum(axis=0))
    x = np.concatenate([np.ones((len(labels), 1)), np.nan_to_num(features - centre)], axis=1)
    pairs = (x[:, :, None] * x[:, None, :]).reshape(len(x), -1)
    count = probabilities.shape[1]
    y = np.eye(count)[labels]
    offset = np.log(probabilities)

    def of(weights: Floats) -> Floats:
        logits = offset + x @ weights.reshape(count, -1).T
        factors = np.exp(logits - logits.max(axis=1, keepdims=True))
        found: Floats = factors / factors.sum(axis=1, keepdims=True)
        return found

    def log_posterior(weights: Floats) -> float:
        likelihood = np.log(np.maximum((of(weights) * y).sum(axis=1), np.finfo(float).tiny)).sum()
        return float(likelihood - (weights**2).sum() / DEVIATION**2 / 2)

    def information(weights: Floats) -> Floats:
        p = of(weights)
        among = p[:, :, None] * (np.eye(count) - p[:, None, :])
        blocks = (among.reshape(len(x), -1).T @ pairs).reshape(count, count, x.shape[1], x.shape[1])
        whole: Floats = blocks.transpose(0, 2, 1, 3).reshape(weights.size, weights.size)
        return whole + np.eye(weights.size) / DEVIATION**2

    def step(weights: Floats) -> Floats:
        gradient = ((y - of(weights)).T @ x).ravel() - weights / DEVIATION**2
        return np.linalg.solve(information(weights), gradient)

    nothing = np.zeros(count * x.shape[1])
    weights = maximum(nothing, log_posterior, step)
    spread = np.linalg.slogdet(information(weights) * DEVIATION**2)[1] / 2
    gain = log_posterior(weights) - spread - log_posterior(nothing)
    return SplitFit(centre, weights.reshape(count, -1), float(gain))
