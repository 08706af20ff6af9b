"""Newton's method with halved steps."""

import numpy as np
import pytest
from numpy.typing import NDArray

from ml_backend.feedback.learning.newton import maximum

Floats = NDArray[np.float64]


@pytest.mark.parametrize("times", [0.5, 1, 3, 100])
def test_largest_value_is_found_by_steps_of_any_length(times: float) -> None:
    """Steps that are too long are halved; an undamped search with them would run away."""
    top = np.array([2.0, -1.0])

    def value(at: Floats) -> float:
        return -float(((at - top) ** 2).sum())

    found = maximum(np.zeros(2), value, lambda at: times * (top - at))
    assert found == pytest.approx(top, abs=1e-4)


def test_points_that_are_not_allowed_are_not_visited() -> None:
    """The search stops at the border."""

    def value(at: Floats) -> float:
        return float(at[0]) if at[0] < 1 else -np.inf

    assert 0.99 < maximum(np.zeros(1), value, np.ones_like)[0] < 1


def test_start_that_is_best_is_the_answer() -> None:
    """No step is made from there."""
    assert maximum(np.zeros(1), lambda at: -float(at[0] ** 2), np.ones_like).tolist() == [0]
