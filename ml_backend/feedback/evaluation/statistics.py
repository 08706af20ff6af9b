"""Shares with their confidence intervals."""

import math
from typing import NamedTuple

Z95 = 1.959963984540054  # the 97.5 % point of the normal distribution


class Share(NamedTuple):
    """A share, ``hits`` of ``total``, with its 95 % interval; without cases its value is None."""

    hits: int
    total: int

    @property
    def value(self) -> float | None:
        """The share itself."""
        return self.hits / self.total if self.total else None

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper end of the 95 % interval."""
        return wilson(self.hits, self.total)

    def to_json(self) -> dict[str, float | int | None]:
        """Return it as plain JSON values."""
        low, high = self.interval
        return {"hits": self.hits, "total": self.total, "value": self.value, "low": low, "high": high}


def wilson(count: float, total: float) -> tuple[float, float]:
    """Return the 95 % score interval of a share (Wilson, J. Am. Stat. Assoc. 22, 1927).

    It assumes independent cases, which boxes of one image are not quite.

    Args:
        count: cases that hit, at least 0.
        total: all cases.

    Returns:
        Lower and upper end, 0 to 1; without cases 0 and 1.
    """
    if not total:
        return 0.0, 1.0
    share = count / total
    scale = 1 + Z95**2 / total
    middle = (share + Z95**2 / (2 * total)) / scale
    half = Z95 / scale * (share * (1 - share) / total + Z95**2 / (4 * total**2)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def wilson_difference(one: Share, other: Share) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two shares, ``one`` less ``other`` (Newcombe, Stat. Med. 17, 1998, method 10).

    Returns:
        Lower and upper end, -1 to 1; -1 and 1 where one of them has no cases.
    """
    if one.value is None or other.value is None:
        return -1.0, 1.0
    difference = one.value - other.value
    (low, high), (other_low, other_high) = one.interval, other.interval
    below = math.hypot(one.value - low, other_high - other.value)
    above = math.hypot(high - one.value, other.value - other_low)
    return difference - below, difference + above
