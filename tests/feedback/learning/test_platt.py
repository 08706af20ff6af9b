"""The probability of a box from its score."""

import numpy as np
import pytest
from numpy.typing import NDArray

from ml_backend.feedback.learning.platt import fit_platt
from ml_backend.postprocessing.box_probability import AS_SCORED

Floats = NDArray[np.float64]


def boxes(count: int, a: float = 0.0, b: float = 1.0) -> tuple[Floats, NDArray[np.bool_]]:
    """Return scores and whether boxes are right, drawn from the model."""
    chance = np.random.default_rng(1)
    scores: Floats = chance.uniform(0.02, 0.98, count)
    right = 1 / (1 + np.exp(-(a + b * np.log(scores / (1 - scores)))))
    return scores, chance.random(count) < right


def test_nothing_is_known_without_boxes() -> None:
    """The probability is the score."""
    fit = fit_platt(np.zeros(0), np.zeros(0, bool))
    assert (fit.a, fit.b) == (0, 1)
    assert fit.probability(np.array([0.1, 0.5, 0.9])) == pytest.approx([0.1, 0.5, 0.9])


@pytest.mark.parametrize(("a", "b"), [(0, 1), (1, 1), (-1, 1), (0, 1.6), (0.5, 0.6)])
def test_many_boxes_show_the_model_that_made_them(a: float, b: float) -> None:
    """Within what 20,000 boxes can tell."""
    fit = fit_platt(*boxes(20_000, a, b))
    assert (fit.a, fit.b) == pytest.approx((a, b), abs=0.06)


def test_few_boxes_change_little() -> None:
    """The prior holds: three wrong boxes with high scores make no detector useless."""
    few = fit_platt(np.full(3, 0.9), np.zeros(3, bool)).probability(np.array([0.9]))[0]
    many = fit_platt(np.full(300, 0.9), np.zeros(300, bool)).probability(np.array([0.9]))[0]
    assert 0.2 < few < 0.9
    assert many < 0.2


def test_boxes_below_the_floor_are_left_out() -> None:
    """There are many, and nearly all are wrong."""
    scores, right = boxes(500)
    floor = np.full(10_000, 0.019)
    assert fit_platt(np.concatenate([scores, floor]), np.concatenate([right, np.ones(10_000, bool)])) == fit_platt(
        scores, right
    )


def test_doubt_about_the_label_is_no_doubt_about_the_box() -> None:
    """Where the label fits every second box, the half of them that are wrong say nothing against the scores."""
    scores, right = boxes(20_000)
    kept = right & (np.random.default_rng(2).random(len(right)) < 0.5)
    with_doubt = fit_platt(scores, kept, np.full(len(scores), 0.5))
    assert (with_doubt.a, with_doubt.b) == pytest.approx((0, 1), abs=0.1)
    assert fit_platt(scores, kept).a < -0.4


def test_counts_stand_for_repeated_boxes() -> None:
    """A row that counts three times is three rows."""
    scores, right = boxes(50)
    thrice = fit_platt(np.concatenate([scores] * 3), np.concatenate([right] * 3))
    counted = fit_platt(scores, right, counts=np.full(50, 3.0))
    assert (counted.a, counted.b) == pytest.approx((thrice.a, thrice.b))


@pytest.mark.parametrize("right", [np.ones(490, bool), np.zeros(490, bool)], ids=["all right", "all wrong"])
def test_fit_ends_on_one_sided_boxes(right: NDArray[np.bool_]) -> None:
    """An undamped Newton step would run away."""
    fit = fit_platt(np.arange(0.02, 1, 0.002, np.float64)[:490], right)
    assert np.isfinite([fit.a, fit.b]).all()
    assert fit.b > 0


@pytest.mark.parametrize("probability", [0.05, 0.215, 0.5, 0.9])
def test_score_for_a_probability_leads_back_to_it(probability: float) -> None:
    """Of the fit and of scores as they are."""
    fit = fit_platt(*boxes(2000, 1, 0.7))
    for each in (fit, AS_SCORED):
        assert each.probability(np.array(each.score_for(probability))) == pytest.approx(probability)


def test_certainty_has_no_score() -> None:
    """A probability of one or more is never reached."""
    assert AS_SCORED.score_for(1) > 1
    assert AS_SCORED.score_for(1.3) > 1
