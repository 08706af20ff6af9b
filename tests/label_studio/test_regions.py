import numpy as np
import pytest

from ml_backend.label_studio.regions import rectangle, region_id
from ml_backend.postprocessing.task_score import task_score


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ([0.2, 0.1, 0.6, 0.4], (10, 20, 30, 40)),
        ([0, 0, 1, 1], (0, 0, 100, 100)),
        ([-0.1, -0.2, 0.5, 0.5], (0, 0, 50, 50)),
        ([0.5, 0.5, 1.2, 1.1], (50, 50, 50, 50)),
        ([1 / 3, 1 / 3, 2 / 3, 1], (33.3333, 33.3333, 66.6667, 33.3334)),
    ],
    ids=["corner order", "whole picture", "beyond the upper left", "beyond the lower right", "rounded edges"],
)
def test_boxes_become_percentages(box: list[float], expected: tuple[float, ...]) -> None:
    """From ymin, xmin, ymax, xmax in fractions to x, y, width, height in percent, clamped."""
    value = rectangle(np.array(box, np.float32))
    assert value is not None
    assert (value["x"], value["y"], value["width"], value["height"]) == pytest.approx(expected, abs=1e-4)
    assert value["x"] + value["width"] <= 100 + 1e-9
    assert all(type(value[key]) is float for key in ("x", "y", "width", "height"))


@pytest.mark.parametrize(
    "box",
    [
        [0.5, 0.5, 0.5, 0.9],
        [0.5, 0.9, 0.9, 0.5],
        [1.1, 0, 1.3, 1],
        [0, -0.5, 1, 0],
        [0, 0, 0, 0],
        [0.5, 0.5, 0.5 + 1e-8, 0.9],
    ],
    ids=["no height", "edges swapped", "below the picture", "left of the picture", "filler", "thinner than any pixel"],
)
def test_boxes_without_area_are_dropped(box: list[float]) -> None:
    """An annotator could neither see nor remove them."""
    assert rectangle(np.array(box, np.float32)) is None


def test_ids_differ_and_stay() -> None:
    """The same parts give the same id, any other part another, also where their texts run together alike."""
    parts = [(1, "v", 0), (2, "v", 0), (1, "w", 0), (1, "v", 1), (None, "v", 0), ("1", "v", 0), (1, "v0", ""), (1, "v")]
    assert len({region_id(*each) for each in parts}) == len(parts)
    assert region_id(1, "v", 0) == region_id(1, "v", 0)


@pytest.mark.parametrize(
    ("shown", "hidden", "threshold", "expected"),
    [
        ([0.9, 0.5], [], 0.3, 0.7),
        ([0.4], [0.29], 0.3, 0.4),
        ([], [], 0.3, 1.0),
        ([], [0.2, 0.1], 0.3, 0.8),
        ([], [0.59], 0.6, 0.8),
        ([], [0.9], 1.0, 1.0),
    ],
    ids=[
        "mean of the boxes",
        "hidden ones do not count beside boxes",
        "nothing suspected",
        "a near miss",
        "never first",
        "1",
    ],
)
def test_task_score_orders_the_queue(
    shown: list[float], hidden: list[float], threshold: float, expected: float
) -> None:
    """Doubtful pictures come first, sure and empty ones last."""
    assert task_score(shown, hidden, threshold) == pytest.approx(expected)
