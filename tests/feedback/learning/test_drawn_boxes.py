"""The sample of drawn boxes of a class."""

import numpy as np

from ml_backend.feedback.learning.drawn_boxes import MOST_BOXES, DrawnBoxes


def sample_of(count: int) -> DrawnBoxes:
    """Return the boxes after so many, which carry their numbers."""
    boxes = DrawnBoxes()
    for number in range(count):
        boxes.add(np.full(10, number, float), str(number))
    return boxes


def test_few_boxes_are_all_kept() -> None:
    """With their features, and NaN where one is unknown."""
    boxes = sample_of(3)
    boxes.add(np.full(10, np.nan), "dark")
    assert boxes.labels == ["0", "1", "2", "dark"]
    assert boxes.features()[:3].tolist() == [[each] * 10 for each in (0, 1, 2)]
    assert np.isnan(boxes.features()[3]).all()


def test_of_many_boxes_a_random_sample_is_kept() -> None:
    """Early and late ones alike, each with its label, and the same ones each time."""
    boxes = sample_of(5 * MOST_BOXES)
    kept = boxes.features()[:, 0]
    assert (len(kept), boxes.seen) == (MOST_BOXES, 5 * MOST_BOXES)
    assert [str(int(each)) for each in kept] == boxes.labels
    shares = np.histogram(kept, bins=5, range=(0, 5 * MOST_BOXES))[0] / MOST_BOXES
    assert np.abs(shares - 0.2).max() < 0.05
    assert boxes.labels == sample_of(5 * MOST_BOXES).labels
