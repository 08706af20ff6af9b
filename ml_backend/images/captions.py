"""Places of captions on an image: beside their boxes, and over as little as possible of other captions and of small boxes."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ON_A_CAPTION = 4.0  # cost of covering a caption wholly, in covered boxes
LATER_PLACE = 0.01  # cost of each place in the list, in covered boxes: the first one wins where nothing is covered
FURTHER_ROW = 0.12  # cost of each row between box and caption
ROWS = 4


class Rectangle(NamedTuple):
    """Edges in pixels of the image."""

    left: float
    top: float
    right: float
    bottom: float


def place_captions(boxes: NDArray[np.float32], captions: NDArray[np.float32], size: tuple[int, int]) -> list[Rectangle]:
    """Return the place of each box's caption, inside the image where it fits. The last box chooses first.

    Args:
        boxes: float32 [N, 4], left, top, right, bottom in pixels.
        captions: float32 [N, 2], width and height of each caption in pixels.
        size: width and height of the image in pixels.
    """
    areas = np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), 1)
    taken = np.zeros([0, 4], np.float32)
    for box, caption in zip(boxes[::-1], captions[::-1], strict=True):
        places, dislike = _candidates(box, caption, size)
        cost = (
            dislike
            + (_common(places, boxes) / areas).sum(axis=1)
            + ON_A_CAPTION * _common(places, taken).sum(axis=1) / caption.prod()
        )
        taken = np.concatenate([taken, places[[int(cost.argmin())]]])
    return [Rectangle(*place.tolist()) for place in taken[::-1]]


def _candidates(
    box: NDArray[np.float32], caption: NDArray[np.float32], size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return places, float32 [M, 4], and the cost of each for being far from the first, [M]."""
    left, top, right, bottom = box.tolist()
    width, height = caption.tolist()
    outside = [(x, y) for y in (top - height, bottom) for x in (left, right - width)]
    inside = [(x, y) for y in (top, bottom - height) for x in (left, right - width)]
    beside = [(x, y) for y in (top, bottom - height) for x in (right, left - width)]
    touching = outside[:2] + inside[:2] + outside[2:] + inside[2:] + beside
    apart = [
        (x, y)
        for row in range(1, ROWS + 1)
        for y in (top - (row + 1) * height, bottom + row * height)
        for x in (left, right - width, (left + right - width) / 2)
    ]
    limits = np.maximum(np.array(size, np.float32) - caption, 0)
    corners = np.clip(np.array(touching + apart, np.float32), 0, limits)
    rows = np.repeat(np.arange(ROWS + 1), [len(touching), *[len(apart) // ROWS] * ROWS])
    dislike = FURTHER_ROW * rows + LATER_PLACE * np.arange(len(corners))
    return np.concatenate([corners, corners + caption], axis=1), dislike.astype(np.float32)


def _common(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the area that each rectangle of ``a`` has in common with each of ``b``, float32 [len(a), len(b)], in square pixels."""
    corner = np.maximum(a[:, None, :2], b[None, :, :2])
    opposite = np.minimum(a[:, None, 2:], b[None, :, 2:])
    common: NDArray[np.float32] = np.maximum(opposite - corner, 0).prod(axis=2)
    return common
