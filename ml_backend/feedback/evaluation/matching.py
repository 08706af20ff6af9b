"""Matches boxes one to one by overlap. Boxes are float32 [N, 4], ``ymin, xmin, ymax, xmax``, normalized."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.detections import iou

SAME_OBJECT = 0.5  # IoU from which two boxes can mean one object, as in PASCAL VOC and in COCO's AP50

Boxes = NDArray[np.float32]
Overlaps = NDArray[np.float32]


def assign(overlaps: Overlaps) -> list[tuple[int, int]]:
    """Pair rows with columns, one to one: as many pairs as possible, and among those the ones with the largest overlaps.

    The Hungarian method. Each pair with an IoU of at least :data:`SAME_OBJECT` weighs more than all overlaps together, so no pair is
    given up for better overlaps of others.

    Args:
        overlaps: float32 [N, M], 0 to 1.

    Returns:
        Pairs of row and column, each with at least :data:`SAME_OBJECT`.
    """
    allowed = overlaps >= SAME_OBJECT
    if not allowed.any():
        return []
    rows, columns = _assign(np.where(allowed, 1 + min(overlaps.shape) + overlaps.astype(np.float64), 0))
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True) if allowed[row, column]]


def match(overlaps: Overlaps, labels: Sequence[str], others: Sequence[str]) -> list[tuple[int, int]]:
    """Pair boxes with others: first those of the same label, then the rest.

    A Person and its Clothing are in nearly the same place; without the first round they could be swapped.

    Args:
        overlaps: float32 [N, M] of boxes with others.
        labels: N labels of the boxes.
        others: M labels of the others.
    """
    pairs = assign(np.where(same_label(labels, others), overlaps, 0))
    left = overlaps.copy()
    for row, column in pairs:
        left[row, :] = left[:, column] = 0
    return pairs + assign(left)


def same_label(labels: Sequence[str], others: Sequence[str]) -> NDArray[np.bool_]:
    """Return which labels are the same, bool [N, M]."""
    same: NDArray[np.bool_] = np.array([[one == other for other in others] for one in labels], bool)
    return same.reshape(len(labels), len(others))


def right_in_order(boxes: Boxes, truth: Boxes) -> NDArray[np.bool_]:
    """Return which boxes are right when boxes are shown one after the other, by falling score.

    A box is right if it makes the largest assignment of all boxes so far to ``truth`` larger by one. The number of right boxes among the
    first k is then the size of the largest assignment of those k, for every k: precision is exact at all thresholds at once.

    One assignment finds them, with larger weights for earlier boxes. Sets of boxes that can be assigned together are a matroid, where the
    heaviest set is the one found greedily (J. Edmonds, "Matroids and the greedy algorithm", 1971).

    Args:
        boxes: float32 [N, 4], by falling score.
        truth: float32 [M, 4].

    Returns:
        bool [N].
    """
    right = np.zeros(len(boxes), bool)
    if not len(boxes) or not len(truth):
        return right
    allowed = iou(boxes, truth) >= SAME_OBJECT
    rows, columns = _assign(np.where(allowed, np.arange(len(boxes), 0, -1)[:, None], 0))
    right[rows[allowed[rows, columns]]] = True
    return right


def _assign(weights: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return rows and columns of the pairs with the largest sum of weights."""
    from scipy.optimize import linear_sum_assignment  # takes a third of a second, which no start should wait for

    return linear_sum_assignment(weights, maximize=True)
