import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_backend.bootstrap.near_duplicates import MAX_BITS, NearDuplicates

SOME_BASES = st.sampled_from([0, 2**64 - 1, 0x5555_5555_5555_5555, 0x0123_4567_89AB_CDEF])
FLIPPED = st.sets(st.integers(0, 63), max_size=12)


def flip(perceptual_hash: int, bits: set[int]) -> int:
    """Return a hash that differs in these bits."""
    return perceptual_hash ^ sum(1 << bit for bit in bits)


# Around a few bases, so that many are alike and many just not.
HASHES = st.lists(st.builds(flip, SOME_BASES, FLIPPED) | st.integers(0, 2**64 - 1), max_size=40)


def number_all(hashes: list[int], *portions: int) -> list[int]:
    """Return the groups of pictures that come in portions, the last of what is left."""
    groups = NearDuplicates()
    rest = np.array(hashes, np.uint64)
    numbers = []
    for portion in (*portions, len(rest)):
        numbers += groups.number_all(rest[:portion])
        rest = rest[portion:]
    assert len(groups) == max(numbers, default=0)
    return numbers


@pytest.mark.parametrize(
    ("hashes", "expected"),
    [
        ([], []),
        ([5], [1]),
        ([5, 5, 5], [1, 1, 1]),
        ([0, 2**64 - 1, 1, 2**64 - 2], [1, 2, 1, 2]),
        ([0, 0xFF], [1, 1]),
        ([0, 0x1FF], [1, 2]),
        ([0, 0xFF, 0xFFFF], [1, 1, 2]),
        ([0, 0xFFFF, 0xFF], [1, 2, 1]),
        ([0x8000_0000_0000_0000, 0], [1, 1]),
    ],
    ids=[
        "nothing",
        "one",
        "equal",
        "two groups",
        "8 bits",
        "9 bits",
        "no chains: like the second, not like the first",
        "like both: the earlier",
        "the highest bit is a bit",
    ],
)
def test_groups(hashes: list[int], expected: list[int]) -> None:
    """Numbered from 1 in the order in which they begin."""
    assert number_all(hashes) == expected


@given(HASHES, st.lists(st.integers(0, 20), max_size=5))
def test_portions_do_not_matter(hashes: list[int], portions: list[int]) -> None:
    """The same pictures in the same order get the same numbers."""
    assert number_all(hashes, *portions) == number_all(hashes)


@given(HASHES)
def test_everyone_belongs_to_the_first_that_it_is_like(hashes: list[int]) -> None:
    """A member is within the bits of its first; nobody begins a group who is like an earlier first."""
    firsts: list[int] = []
    for perceptual_hash, number in zip(hashes, number_all(hashes), strict=True):
        like = [place for place, first in enumerate(firsts, 1) if (first ^ perceptual_hash).bit_count() <= MAX_BITS]
        if number > len(firsts):
            assert (number, like) == (len(firsts) + 1, [])
            firsts.append(perceptual_hash)
        else:
            assert number == like[0]


def test_thousands_of_groups() -> None:
    """More than there was room for, and more comparisons than are made at once."""
    draw = np.random.default_rng(5)
    hashes = [int(each) for each in draw.integers(0, 2**64, 5_000, np.uint64)]
    numbers = number_all(hashes, *[700] * 7)
    assert number_all([*hashes, *reversed(hashes)], 5_000) == [*numbers, *reversed(numbers)]
