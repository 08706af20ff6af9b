"""Split labels: the label of a box among those of its class."""

from typing import Any

import numpy as np
import pytest

from ml_backend.postprocessing.box_probability import Platt
from ml_backend.postprocessing.label_split import LabelSplit

NOTHING = (0.0,) * 11


def weights(constant: float = 0, height: float = 0, light: float = 0) -> tuple[float, ...]:
    """Return the weights of a label."""
    return (constant, height, 0, 0, 0, light, 0, 0, 0, 0, 0)


def split_of(**changes: Any) -> LabelSplit:
    """Return a split in which near people are high, and bright."""
    parts: dict[str, Any] = {
        "labels": ("near", "far"),
        "probabilities": (0.6, 0.2),
        "centre": (-1.0,) + (0.0,) * 9,
        "weights": (weights(height=2, light=1), NOTHING),
        "needed": (0.3, 0.3),
    }
    return LabelSplit(**(parts | changes))


def box(height: float = -1, light: float = 0) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the features of one box."""
    return np.array([[height, 0, 0, 0, light, 0, 0, 0, 0, 0]], float)


@pytest.mark.parametrize(
    ("split", "features", "near"),
    [
        (split_of(weights=(NOTHING, NOTHING)), box(-3, 2), 0.6),
        (split_of(), box(), 0.6),
        (split_of(), box(0), 0.8 * 3 * np.e**2 / (3 * np.e**2 + 1)),
        (split_of(), box(-2, 1), 0.8 * 3 / (3 + np.e)),
        (split_of(), box(0, np.nan), 0.8 * 3 * np.e**2 / (3 * np.e**2 + 1)),
        (split_of(weights=(weights(1), NOTHING)), box(), 0.8 * 3 * np.e / (3 * np.e + 1)),
    ],
    ids=["no weights", "an average box", "a high one", "a low and bright one", "unknown colours", "a constant"],
)
def test_formula_is_that_of_the_module(split: LabelSplit, features: Any, near: float) -> None:
    """The labels keep their sum; the rest is nobody's."""
    found = split.of(features)[0]
    assert found[0] == pytest.approx(near)
    assert found.sum() == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("split", "lowest"),
    [
        (split_of(needed=(0.3, 0.3)), 0.5),
        (split_of(needed=(0.0, 0.0)), 0.0),
        (split_of(needed=(0.6, 0.3)), 2.0),
        (split_of(needed=(0.3, 0.9)), 0.5),
        (split_of(platt=Platt(1, 1)), 1 / (1 + np.e)),
    ],
    ids=["0.3 of 0.6", "no threshold", "never", "the other label's does not count", "scores that are too low"],
)
def test_box_is_shown_from_the_probability_of_its_label(split: LabelSplit, lowest: float) -> None:
    """An average box is near with 0.6."""
    ((label, *figures),) = split.labels_of(box())
    assert label == "near"
    assert figures == pytest.approx([0.6, lowest])


def test_each_box_has_its_label() -> None:
    """The most probable one."""
    features = np.concatenate([box(0), box(-4), box(-4, 9)])
    assert [label for label, _, _ in split_of().labels_of(features)] == ["near", "far", "near"]


@pytest.mark.parametrize(
    ("labels", "kept"), [(["far", "near"], ("near", "far")), (["far", "other"], ("far",)), (["other"], None)]
)
def test_split_is_limited_to_labels_that_are_there(labels: list[str], kept: tuple[str, ...] | None) -> None:
    """A label that is left alone has all boxes, with its own probability."""
    found = split_of().limited_to(labels)
    assert (found and found.labels) == kept
    if kept == ("far",):
        assert found is not None
        assert found.of(box(0)).tolist() == [[pytest.approx(0.2)]]


def test_json_is_lossless() -> None:
    """Revisions keep it."""
    split = split_of(platt=Platt(0.5, 1.25))
    assert LabelSplit.from_json(split.to_json()) == split
