"""Newton's method with halved steps, for the small concave fits of learning."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

STEPS = 50  # the fits converge in fewer than ten
NEAR = 1e-6  # a step in which no number changes by more ends the search

Floats = NDArray[np.float64]


def maximum(start: Floats, value: Callable[[Floats], float], step: Callable[[Floats], Floats]) -> Floats:
    """Return the point where a function is largest.

    A step is halved until the function does not fall: undamped steps run away on few boxes, and on one-sided ones.

    Args:
        start: float64 [K].
        value: the function; minus infinity where a point is not allowed.
        step: returns Newton's step from a point, float64 [K].
    """
    at, now = start, value(start)
    for _ in range(STEPS):
        move = step(at)
        while (new := value(at + move)) < now:
            move = move / 2
            if np.abs(move).max() < NEAR:
                return at
        at, now = at + move, new
        if np.abs(move).max() < NEAR:
            break
    return at
