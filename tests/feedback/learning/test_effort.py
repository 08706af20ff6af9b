"""The effort of annotators: from which probability a box is worth showing, and what a threshold saves."""

import numpy as np
import pytest

from ml_backend.feedback.evaluation.threshold_stats import NO_LABEL, OTHER_LABEL, SAME_LABEL
from ml_backend.feedback.learning.effort import EditSeconds, EffortFit, Judged, edit_seconds


@pytest.mark.parametrize(
    ("seconds", "probability"),
    [
        (EditSeconds(), 0.2155),
        (EditSeconds(draw=25), 0.0824),
        (EditSeconds(delete=10), 0.5787),
        (EditSeconds(draw=2, adjust=4), 1.0),
    ],
    ids=["as by default", "slow drawing", "slow deletion", "boxes save nothing"],
)
def test_box_is_worth_showing_where_it_saves_more_than_it_costs(seconds: EditSeconds, probability: float) -> None:
    """At that probability, both are equal."""
    p = seconds.worth_showing
    assert p == pytest.approx(probability, abs=0.0001)
    if p < 1:
        assert p * seconds.saved == pytest.approx((1 - p) * seconds.delete)


@pytest.mark.parametrize(
    ("shown", "right", "relabeled", "drawn", "seconds"),
    [
        (0, 0, 0, 0, 1),
        (0, 0, 0, 5, 51),
        (3, 0, 0, 0, 7),
        (5, 5, 0, 5, 1 + 5 * 0.68 * 4),
        (5, 3, 0, 5, 1 + 2 * 2 + 2 * 10 + 3 * 0.68 * 4),
        (1, 0, 1, 1, 1 + 3 + 0.68 * 4),
    ],
    ids=["nothing", "all to draw", "all to delete", "all right", "some of each", "one to relabel"],
)
def test_seconds_of_a_picture(shown: int, right: int, relabeled: int, drawn: int, seconds: float) -> None:
    """By hand, with the default seconds."""
    found = EditSeconds().a_picture(shown=shown, right=right, relabeled=relabeled, drawn=drawn, pictures=1)
    assert found == pytest.approx(seconds)


def judged(pictures: int, right_share: float, before: float = 0.3, boxes: int = 10, held: int = SAME_LABEL) -> Judged:
    """Return boxes with scores around 0.2, of which a share is right."""
    chance = np.random.default_rng(3)
    count = pictures * boxes
    scores = chance.uniform(0.1, 0.3, count)
    return Judged(
        scores,
        chance.random(count) < right_share,
        np.ones(count),
        np.full(count, before),
        np.ones(count, bool),
        np.full(count, held, np.uint8),
        np.repeat(np.arange(pictures), boxes),
    )


@pytest.mark.parametrize(
    ("pictures", "right_share", "sure"),
    [(40, 0.7, True), (40, 0.02, False), (20, 0.2, False), (2000, 0.7, True)],
    ids=["hidden boxes are right", "hidden boxes are wrong", "as right as not worth it", "more pictures than blocks"],
)
def test_lower_threshold_is_sure_to_save_where_hidden_boxes_are_right(
    pictures: int, right_share: float, sure: bool
) -> None:
    """From 0.3 to 0.1; the interval holds the expected saving."""
    saving = EffortFit(judged(pictures, right_share), pictures).saving(0.1, EditSeconds())
    assert saving.is_sure == sure
    assert saving.low <= saving.seconds <= saving.high


def test_saving_is_that_of_the_boxes_between_both_thresholds() -> None:
    """Ten boxes a picture, seven of them right: each right one saves 7.28 seconds, and each wrong one costs 2."""
    for before, after, sign in ((0.301, 0.09, -1), (0.09, 0.301, 1), (0.3, 0.3, 0)):
        saving = EffortFit(judged(500, 0.7, before), 500).saving(after, EditSeconds())
        assert saving.seconds == pytest.approx(sign * (7 * 7.28 - 3 * 2), rel=0.05)


@pytest.mark.parametrize(
    ("held", "each"),
    [(SAME_LABEL, 0), (NO_LABEL, 0.3 * 2 - 0.7 * 7.28), (OTHER_LABEL, -0.7 * 3)],
    ids=["no new label", "boxes that appear", "boxes that spare a relabeling"],
)
def test_new_labels_of_classes_save_something_too(held: int, each: float) -> None:
    """Ten certain boxes a picture, seven of them right, all above the threshold before and after."""
    fit = EffortFit(judged(500, 0.7, 0.09, held=held), 500)
    assert fit.saving(None, EditSeconds()).seconds == 0
    assert fit.saving(None, EditSeconds(), with_labels=True).seconds == pytest.approx(10 * each, rel=0.05)


def test_same_boxes_give_the_same_answer() -> None:
    """Resampling has a fixed seed."""
    one, two = (EffortFit(judged(30, 0.4), 30).saving(0.1, EditSeconds()) for _ in range(2))
    assert one == two


def test_no_boxes_save_nothing() -> None:
    """No picture, and pictures without boxes."""
    no = np.zeros(0, bool)
    none = Judged(np.zeros(0), no, np.zeros(0), np.zeros(0), no, np.zeros(0, np.uint8), np.zeros(0, np.int64))
    for pictures in (0, 7):
        saving = EffortFit(none, pictures).saving(0.1, EditSeconds())
        assert (saving.seconds, saving.is_sure) == (0, False)


def test_settings_come_before_what_was_measured() -> None:
    """And that before the defaults."""
    found = EditSeconds(draw=20, delete=5)
    assert edit_seconds({}, None) == EditSeconds()
    assert edit_seconds({}, found) == found
    assert edit_seconds({"draw": 30.0}, found) == EditSeconds(draw=30, delete=5)
