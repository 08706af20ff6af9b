"""Intervals of shares, against SciPy's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from ml_backend.feedback.evaluation.statistics import Share, wilson, wilson_difference

_counts = st.integers(1, 5000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


@given(_counts)
def test_interval_is_wilsons(counts: tuple[int, int]) -> None:
    """For whatever share."""
    count, total = counts
    expected = binomtest(count, total).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson(count, total) == pytest.approx((expected.low, expected.high), abs=1e-12)


@given(_counts)
def test_interval_holds_the_share_and_lies_between_0_and_1(counts: tuple[int, int]) -> None:
    """Also where rounding would take it a little beyond."""
    share = Share(*counts)
    low, high = share.interval
    assert share.value is not None
    assert (
        0 <= low <= share.value <= high <= 1 or share.value == pytest.approx(low) or share.value == pytest.approx(high)
    )
    assert 0 <= low < high <= 1


@given(_counts)
def test_misses_have_the_mirrored_interval(counts: tuple[int, int]) -> None:
    """Nobody gains by counting the other way round."""
    count, total = counts
    low, high = wilson(count, total)
    assert wilson(total - count, total) == pytest.approx((1 - high, 1 - low))


@given(_counts)
def test_more_cases_of_the_same_share_are_surer(counts: tuple[int, int]) -> None:
    """And one more hit never makes the lower end lower."""
    count, total = counts
    low, high = wilson(count, total)
    surer_low, surer_high = wilson(10 * count, 10 * total)
    assert surer_high - surer_low < high - low
    assert wilson(count + 1, total + 1)[0] >= low


@pytest.mark.parametrize(
    ("share", "value", "interval"),
    [
        (Share(0, 0), None, (0.0, 1.0)),
        (Share(0, 10), 0.0, (0.0, 0.2775)),
        (Share(10, 10), 1.0, (0.7225, 1.0)),
        (Share(5, 10), 0.5, (0.2366, 0.7634)),
        (Share(30, 30), 1.0, (0.8865, 1.0)),
        (Share(10**9, 2 * 10**9), 0.5, (0.5, 0.5)),
    ],
    ids=["of nothing", "none", "all", "half", "all of thirty", "half of very many"],
)
def test_shares_say_how_sure_they_are(share: Share, value: float | None, interval: tuple[float, float]) -> None:
    """Of nothing it is unknown, and could be anything."""
    assert share.value == value
    assert share.interval == pytest.approx(interval, abs=1e-4)


@pytest.mark.parametrize(
    ("one", "other", "interval"),
    [
        (Share(56, 70), Share(48, 80), (0.0524, 0.3339)),
        (Share(9, 10), Share(3, 10), (0.1705, 0.8090)),
        (Share(0, 10), Share(0, 10), (-0.2775, 0.2775)),
        (Share(0, 0), Share(3, 10), (-1.0, 1.0)),
    ],
    ids=["published, case a", "published, case b", "published: 0 of 10 twice", "no cases"],
)
def test_interval_of_a_difference_is_newcombes(one: Share, other: Share, interval: tuple[float, float]) -> None:
    """The examples of table II of the paper, method 10."""
    assert wilson_difference(one, other) == pytest.approx(interval, abs=5e-5)
