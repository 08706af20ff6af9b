"""Which box is which, against slower methods that nobody could get wrong."""

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
from corrections import AWAY, BOX, LESS, MOVED, NEARLY, Edges
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from ml_backend.detections import iou
from ml_backend.feedback.evaluation.matching import SAME_OBJECT, assign, match, right_in_order

Floats = NDArray[np.float32]


def boxes_of(*edges: Edges) -> Floats:
    """Return boxes as an array."""
    return np.array(edges, np.float32).reshape(-1, 4)


def matrix(*rows: tuple[float, ...], columns: int = 0) -> Floats:
    """Return overlaps as an array."""
    return np.array(rows, np.float32).reshape(len(rows), -1 if rows else columns)


@pytest.mark.parametrize(
    ("overlaps", "pairs"),
    [
        (matrix(columns=0), []),
        (matrix(columns=3), []),
        (matrix((), ()), []),
        (matrix((0.49, 0), (0, 0)), []),
        (matrix((0.5,)), [(0, 0)]),
        (matrix((1.0,)), [(0, 0)]),
        (matrix((0.6, 0.9)), [(0, 1)]),
        (matrix((0.6,), (0.9,)), [(1, 0)]),
        (matrix((0.9, 0.8), (0.8, 0)), [(0, 1), (1, 0)]),
        (matrix((1.0, 0.5), (0.5, 0)), [(0, 1), (1, 0)]),
        (matrix((0.9, 0.6), (0.8, 0.7)), [(0, 0), (1, 1)]),
        (matrix((0.9, 0.49), (0.8, 0)), [(0, 0)]),
    ],
    ids=[
        "nothing",
        "no rows",
        "no columns",
        "none overlaps enough",
        "just enough",
        "the same",
        "the better of two columns",
        "the better of two rows",
        "two pairs rather than the best one",
        "two pairs rather than a perfect one",
        "of as many, those that overlap most",
        "what overlaps too little is no pair",
    ],
)
def test_boxes_are_paired_one_to_one(overlaps: Floats, pairs: list[tuple[int, int]]) -> None:
    """As many as there can be, and among those the best."""
    assert sorted(assign(overlaps)) == pairs


def best_of_all(overlaps: Floats) -> tuple[int, float]:
    """Return the most pairs that can be made, and with that many the largest sum of overlaps, by trying all."""
    if overlaps.shape[0] > overlaps.shape[1]:
        overlaps = overlaps.T
    found = []
    for columns in permutations(range(overlaps.shape[1]), overlaps.shape[0]):
        taken = [float(overlaps[row, column]) for row, column in enumerate(columns)]
        allowed = [each for each in taken if each >= SAME_OBJECT]
        found.append((len(allowed), sum(allowed)))
    return max(found)


_sides = st.tuples(st.integers(1, 3), st.integers(1, 5))
_overlaps = _sides.flatmap(
    lambda sides: st.lists(
        st.lists(st.floats(0, 1, width=32), min_size=sides[1], max_size=sides[1]), min_size=sides[0], max_size=sides[0]
    )
)


@given(_overlaps, st.booleans())
def test_no_other_way_pairs_more_or_better(rows: list[list[float]], turned: bool) -> None:
    """Against all ways that there are, of up to three boxes with up to five others."""
    overlaps = np.array(rows, np.float32)
    overlaps = overlaps.T if turned else overlaps
    pairs = assign(overlaps)
    most, best = best_of_all(overlaps)
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs) == most
    assert sum(float(overlaps[pair]) for pair in pairs) == pytest.approx(best)


def test_no_pair_is_given_up_for_better_overlaps_of_others() -> None:
    """Five boxes in a row, each on the next one's object too: all five can be right."""
    overlaps = np.eye(5, dtype=np.float32) * np.float32(0.52) + np.eye(5, k=-1, dtype=np.float32)
    assert len(assign(overlaps)) == 5


def test_person_and_clothing_in_one_place_do_not_change_places() -> None:
    """Each overlaps the other's box better than its own."""
    shown, drawn = boxes_of(BOX, NEARLY), boxes_of(NEARLY, BOX)
    overlaps = iou(shown, drawn)
    assert sorted(assign(overlaps)) == [(0, 1), (1, 0)]
    assert sorted(match(overlaps, ["Person", "Clothing"], ["Person", "Clothing"])) == [(0, 0), (1, 1)]


@pytest.mark.parametrize(
    ("labels", "others", "pairs"),
    [
        (["A", "B"], ["A", "B"], [(0, 0), (1, 1)]),
        (["A", "B"], ["B", "A"], [(0, 1), (1, 0)]),
        (["A", "B"], ["A", "C"], [(0, 0), (1, 1)]),
        (["A", "B"], ["C", "A"], [(0, 1), (1, 0)]),
        (["A", "A"], ["A"], [(0, 0)]),
        (["A", "A"], ["B"], [(0, 0)]),
        (["A"], [], []),
        ([], ["A"], []),
        ([], [], []),
        (["", "A"], ["A", ""], [(0, 1), (1, 0)]),
    ],
    ids=[
        "equal labels",
        "equal labels crosswise",
        "one left each",
        "one left each, crosswise",
        "two on one object",
        "two on one object of another label",
        "no others",
        "no boxes",
        "nothing",
        "unlabelled with unlabelled",
    ],
)
def test_equal_labels_go_first(labels: list[str], others: list[str], pairs: list[tuple[int, int]]) -> None:
    """All boxes are in one place; what is left over is paired whatever its label."""
    first, second = boxes_of(BOX, NEARLY)[: len(labels)], boxes_of(BOX, NEARLY)[: len(others)]
    assert sorted(match(iou(first, second), labels, others)) == pairs


def test_matching_leaves_the_overlaps_as_they_are() -> None:
    """The caller goes on to read them."""
    overlaps = iou(boxes_of(BOX, AWAY), boxes_of(BOX, AWAY))
    before = overlaps.copy()
    match(overlaps, ["A", "B"], ["A", "C"])
    assert np.array_equal(overlaps, before)


@pytest.mark.parametrize(
    ("shown", "truth", "right"),
    [
        ([], [], []),
        ([BOX], [], [False]),
        ([], [BOX], []),
        ([BOX], [BOX], [True]),
        ([BOX], [LESS], [False]),
        ([MOVED, BOX], [BOX], [True, False]),
        ([AWAY, BOX], [BOX], [False, True]),
        ([BOX, MOVED, AWAY], [MOVED, AWAY], [True, False, True]),
        ([MOVED, BOX], [BOX, LESS], [True, True]),
        ([BOX, BOX], [BOX, BOX], [True, True]),
        ([(0.0, 0.0, 0.0, 0.0)], [BOX], [False]),
    ],
    ids=[
        "nothing",
        "nobody drew",
        "nothing shown",
        "right",
        "overlaps too little",
        "two on one object: the first, even if it fits worse",
        "a wrong one first",
        "three on two",
        "an earlier one makes room",
        "two objects in one place",
        "a box without area",
    ],
)
def test_boxes_are_right_one_after_the_other(shown: list[Edges], truth: list[Edges], right: list[bool]) -> None:
    """A later box never makes an earlier one wrong."""
    assert right_in_order(boxes_of(*shown), boxes_of(*truth)).tolist() == right


def largest(boxes: Floats, truth: Floats) -> int:
    """Return how many of the boxes can be right at once, by Hopcroft and Karp."""
    if not len(boxes) or not len(truth):
        return 0
    allowed = csr_matrix(iou(boxes, truth) >= SAME_OBJECT)
    return int((maximum_bipartite_matching(allowed, perm_type="column") >= 0).sum())


def assigned(boxes: Floats, truth: Floats) -> int:
    """Return the same by the assignment of shown boxes to drawn ones."""
    return len(assign(iou(boxes, truth)))


_interval = st.tuples(st.integers(0, 6), st.integers(3, 6)).map(lambda each: (each[0] / 12, (each[0] + each[1]) / 12))
_box = st.tuples(_interval, _interval).map(lambda each: (each[0][0], each[1][0], each[0][1], each[1][1]))


@pytest.mark.parametrize("size", [largest, assigned])
@given(shown=st.lists(_box, max_size=16), truth=st.lists(_box, max_size=6))
def test_right_boxes_among_the_first_are_as_many_as_can_be(
    size: Callable[[Floats, Floats], int], shown: list[Edges], truth: list[Edges]
) -> None:
    """At every threshold, against the largest matching of a graph and against assignments of their own."""
    boxes, others = boxes_of(*shown), boxes_of(*truth)
    right = right_in_order(boxes, others)
    counts = [int(right[:first].sum()) for first in range(len(boxes) + 1)]
    assert counts == [size(boxes[:first], others) for first in range(len(boxes) + 1)]


def test_many_boxes_in_one_place_are_matched_together() -> None:
    """A thousand detections of 300 crowded objects, one by one, would take seconds per image."""
    chance = np.random.default_rng(1)
    corners = chance.random((1300, 2)).astype(np.float32) / 4
    places = np.concatenate([corners, corners + np.float32(0.3)], axis=1)
    boxes, truth = places[:1000], places[1000:]
    right = right_in_order(boxes, truth)
    for first in (1, 10, 100, 200, 250, 280, 300, 310, 350, 500, 1000):
        assert right[:first].sum() == largest(boxes[:first], truth)


def test_box_is_right_where_all_before_it_can_make_room() -> None:
    """Five people in a queue, each box as good on the next one."""
    places: list[Edges] = [(0.1, 0.1 * place, 0.9, 0.1 * place + 0.32) for place in range(6)]
    boxes, truth = boxes_of(*places[1:5], places[0]), boxes_of(*places[1:6])
    assert largest(boxes, truth) == 5
    assert right_in_order(boxes, truth).sum() == 5
