from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from ml_backend.images.captions import Rectangle, place_captions

SIZE = (640, 480)
CAPTION = (80, 20)


def placed(*boxes: tuple[int, int, int, int], caption: tuple[int, int] = CAPTION) -> list[Rectangle]:
    """Place captions of one size."""
    sizes = np.array([caption] * len(boxes), np.float32)
    return place_captions(np.array(boxes, np.float32).reshape(-1, 4), sizes, SIZE)


def common(a: Rectangle, b: tuple[float, float, float, float]) -> float:
    """Return the common area in square pixels."""
    width = min(a.right, b[2]) - max(a.left, b[0])
    height = min(a.bottom, b[3]) - max(a.top, b[1])
    return max(0.0, width) * max(0.0, height)


@pytest.mark.parametrize(
    ("box", "corner", "why"),
    [
        ((100, 100, 300, 300), (100, 80), "above the left corner"),
        ((600, 100, 640, 300), (560, 80), "above the right corner, where the image ends"),
        ((100, 0, 300, 300), (100, 0), "inside a large box that begins at the upper edge"),
        ((100, 0, 120, 15), (100, 15), "below a small one there, which it would hide"),
        ((0, 0, 640, 480), (0, 0), "inside a box as large as the image"),
    ],
)
def test_one_box(box: tuple[int, int, int, int], corner: tuple[int, int], why: str) -> None:
    """A caption alone has the first place of the list that is free."""
    (place,) = placed(box)
    assert place == (*corner, corner[0] + CAPTION[0], corner[1] + CAPTION[1]), why


def test_captions_in_a_row_of_narrow_boxes_do_not_overlap() -> None:
    """Eight boxes half as wide as their captions, side by side: some captions go below, some into another row."""
    places = placed(*((100 + 45 * number, 200, 140 + 45 * number, 260) for number in range(8)))
    assert sum(common(a, b) for a, b in combinations(places, 2)) == 0


def test_small_box_is_not_hidden_by_the_caption_of_another() -> None:
    """The small one lies where the caption of the large one would be."""
    small = (110, 82, 130, 98)
    large, _ = placed((100, 100, 300, 300), small)
    assert common(large, small) == 0


def test_better_box_keeps_its_place() -> None:
    """The last box chooses first."""
    first, last = placed((100, 100, 300, 300), (100, 100, 300, 290))
    assert (last.left, last.top) == (100, 80)
    assert common(first, last) == 0


def test_nothing_to_place() -> None:
    """No box, no caption."""
    empty: NDArray[np.float32] = np.zeros([0, 4], np.float32)
    assert place_captions(empty, empty[:, :2], SIZE) == []


def test_caption_larger_than_the_image() -> None:
    """It begins at the image's left upper corner."""
    (place,) = placed((600, 400, 630, 420), caption=(700, 500))
    assert (place.left, place.top) == (0, 0)
