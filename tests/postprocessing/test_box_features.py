"""The features that tell the labels of one class apart."""

import numpy as np
import pytest
from numpy.typing import NDArray

from ml_backend.detections import Detections
from ml_backend.postprocessing.box_features import FEATURES, features_of

Edges = tuple[float, float, float, float]


def features(edges: Edges, colours: list[int] | None = None, size: tuple[int, int] = (200, 100)) -> NDArray[np.float64]:
    """Return the features of one box in an image of some width and height."""
    seen = None if colours is None else np.array([colours], np.uint8)
    found = Detections(np.array([edges], np.float32), np.ones(1, np.float32), ("Person",), ("",), *size, colours=seen)
    (row,) = features_of(found, np.array([0]))
    assert isinstance(row, np.ndarray)
    return row


@pytest.mark.parametrize(
    ("edges", "geometry", "why"),
    [
        ((0, 0, 1, 1), [0, 1, 1, 2], "the whole image, twice as wide as high"),
        ((0, 0, 0.5, 0.25), [-1, 0, 0.25, 1], "half as high: one less; 50 by 50 pixels"),
        ((0.75, 0.5, 1, 1), [-2, 2, 1.5, 2], "on the right, at the bottom"),
        ((-1, -1, 0.5, 0.25), [-1, 0, 0.25, 1], "only the part inside the image counts"),
        ((0.5, 0.5, 0.5, 0.5), [np.log2(1e-3), 1, 1, 1], "without area"),
    ],
)
def test_geometry_is_size_shape_and_place(edges: Edges, geometry: list[float], why: str) -> None:
    """Sizes by their logarithms, places in halves of the image."""
    assert features(edges)[:4] == pytest.approx(geometry, abs=1e-5), why


@pytest.mark.parametrize(
    ("colours", "expected"),
    [
        ([128, 128, 128, 0, 0, 0], [0, 0, 0, 0, 0, 0]),
        ([192, 64, 128, 64, 32, 0], [1, -1, 0, 1, 0.5, 0]),
        ([0, 128, 128, 0, 0, 0], [-2, 0, 0, 0, 0, 0]),
        ([0, 0, 0, 0, 0, 0], [np.nan] * 6),
        (None, [np.nan] * 6),
    ],
    ids=["grey", "bright and yellowish", "black", "a box without colours", "detections without colours"],
)
def test_colours_are_known_or_not(colours: list[int] | None, expected: list[float]) -> None:
    """An old entry of the cache has none, and no box below the lowest score."""
    found = features((0, 0, 1, 1), colours)
    assert len(found) == len(FEATURES)
    assert found[4:] == pytest.approx(expected, nan_ok=True)
