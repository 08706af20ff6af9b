"""The fit of split labels: what tells boxes of one class apart."""

import numpy as np
import pytest
from numpy.typing import NDArray

from ml_backend.feedback.learning.split_fit import SplitFit, fit_split

Floats = NDArray[np.float64]
LIGHT = 5  # place among the weights, after the constant and four of geometry


def fitted(count: int, slope: float, *, prior: tuple[float, float] = (0.5, 0.5), dark: float = 0.0) -> SplitFit:
    """Return the fit of boxes whose first label is more probable the brighter they are.

    Args:
        count: of boxes.
        slope: of the logarithm of the odds.
        prior: probabilities of both labels.
        dark: share of boxes without colours.
    """
    chance = np.random.default_rng(3)
    features = chance.normal(size=(count, 10))
    logits = np.log(prior[0] / prior[1]) + slope * features[:, 4]
    labels = (chance.random(count) > 1 / (1 + np.exp(-logits))).astype(np.intp)
    features[chance.random(count) < dark, 4:] = np.nan
    return fit_split(features, labels, np.tile(prior, (count, 1)))


@pytest.mark.parametrize(
    ("slope", "prior"), [(0, (0.5, 0.5)), (1, (0.5, 0.5)), (-2, (0.5, 0.5)), (1, (0.8, 0.1)), (2, (0.1, 0.8))]
)
def test_many_boxes_show_the_model_that_made_them(slope: float, prior: tuple[float, float]) -> None:
    """On top of the probabilities of the labels for the class."""
    weights = fitted(20_000, slope, prior=prior).weights
    expected = np.zeros(11)
    expected[LIGHT] = slope
    assert weights[0] - weights[1] == pytest.approx(expected, abs=0.15)


@pytest.mark.parametrize(
    ("count", "slope", "helps"),
    [
        (4, 3, False),
        (40, 3, True),
        (400, 3, True),
        (40, 0, False),
        (400, 0, False),
        (2000, 0, False),
        (2000, 0.5, True),
    ],
)
def test_gain_tells_whether_features_help(count: int, slope: float, helps: bool) -> None:
    """Boxes that look alike show no gain, however many there are."""
    assert (fitted(count, slope).gain > 0) == helps


def test_unknown_colours_say_nothing() -> None:
    """Boxes that have them are enough; where none has, the weights of colours are zero."""
    assert fitted(2000, 2, dark=0.5).weights[0, LIGHT] > 0.5
    none = fitted(200, 2, dark=1)
    assert none.weights[:, 5:].tolist() == np.zeros((2, 6)).tolist()
    assert none.centre[4:].tolist() == [0] * 6


@pytest.mark.parametrize("count", [1, 2, 500])
def test_fit_ends_on_boxes_that_are_told_apart_perfectly(count: int) -> None:
    """The prior holds the weights."""
    features = np.zeros((2 * count, 10))
    features[:count, 0] = 3
    fit = fit_split(features, np.arange(2 * count) // count, np.full((2 * count, 2), 0.5))
    assert np.isfinite(fit.weights).all()
    assert np.abs(fit.weights).max() < 6


def test_more_labels_than_two_are_told_apart() -> None:
    """Small, middle and large."""
    sizes = np.arange(300) / 100 - 1.5
    features = np.zeros((300, 10))
    features[:, 0] = sizes
    fit = fit_split(features, np.arange(300) // 100, np.full((300, 3), 1 / 3))
    factors = fit.weights[:, :2] @ np.stack([np.ones(300), sizes - fit.centre[0]])
    assert (factors.argmax(axis=0) == np.arange(300) // 100).mean() > 0.9
