"""Split labels of classes: from their own boxes or from their relatives'."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from ml_backend.feedback.learning.class_splits import ClassSplits, split_of
from ml_backend.feedback.learning.drawn_boxes import DrawnBoxes

PARENTS = {"car": ("vehicle",), "bus": ("vehicle",), "truck": ("vehicle",), "dog": ("animal",)}
LABELS = ("near", "far", "other")
EVEN = {"near": 0.4, "far": 0.4, "other": 0.1, "": 0.1}


def boxes_of(text: str) -> DrawnBoxes:
    """Return boxes by the first letters of their labels; a letter in upper case is a high box."""
    boxes = DrawnBoxes()
    for place, letter in enumerate(text):
        features = np.zeros(10)
        features[0] = 2 if letter.isupper() else -2
        features[4] = place % 3  # says nothing
        boxes.add(features, next(label for label in LABELS if label[0] == letter.lower()))
    return boxes


def label_of_a_high_box(evidence: Mapping[str, str], known: str, options: Sequence[str] = LABELS) -> str:
    """Return the label of a high box of a class; empty where the class has no split."""
    boxes = {each: boxes_of(text) for each, text in evidence.items()}
    splits = ClassSplits(boxes, LABELS, lambda _: EVEN, lambda each: PARENTS.get(each, ()))
    split = splits.of(known, options)
    if split is None:
        return ""
    features = np.zeros((1, 10))
    features[0, 0] = 2
    return split.labels_of(features)[0][0]


@pytest.mark.parametrize(
    ("evidence", "known", "label"),
    [
        ({}, "car", ""),
        ({"car": "NNNNNN"}, "car", ""),
        ({"car": "NNNNNNf"}, "car", ""),
        ({"car": "NNNNfff"}, "car", "near"),
        ({"car": "nnnnFFF"}, "car", "far"),
        ({"car": "NnFfNnFfNnFfNnFfNnFfNnFf"}, "car", ""),
        ({"car": "NNNNfff"}, "bus", "near"),
        ({"car": "NNNNfff", "bus": "nnnnFFF"}, "bus", "far"),
        ({"car": "NNf", "truck": "Nff"}, "bus", "near"),
        ({"car": "NNf", "truck": "Nff"}, "car", "near"),
        ({"car": "NNNNfff"}, "dog", ""),
        ({"dog": "NNNNfff"}, "car", ""),
    ],
    ids=[
        "nobody knows anything",
        "one label",
        "one box of the other label may be a mistake",
        "high boxes are near",
        "high boxes are far",
        "they look alike",
        "a sister looks so, too",
        "its own boxes count more",
        "two sisters together",
        "itself and a sister",
        "a stranger",
        "a stranger the other way round",
    ],
)
def test_boxes_of_the_nearest_class_tell_the_labels_apart(evidence: Mapping[str, str], known: str, label: str) -> None:
    """Its own, else those of its relatives, as the probabilities of labels back off."""
    assert label_of_a_high_box(evidence, known) == label


@pytest.mark.parametrize(("options", "label"), [(("near", "far"), "near"), (("far", "other"), ""), (("near",), "")])
def test_split_has_the_labels_that_the_class_can_have(options: Sequence[str], label: str) -> None:
    """One alone is no split."""
    assert label_of_a_high_box({"car": "NNNNfff"}, "bus", options) == label


def test_probabilities_are_those_of_the_class() -> None:
    """The weights alone come from relatives."""

    def probabilities(known: str) -> Mapping[str, float]:
        return EVEN if known == "car" else {"near": 0.1, "far": 0.7, "other": 0, "": 0.2}

    splits = ClassSplits({"car": boxes_of("NNNNfff")}, LABELS, probabilities, lambda each: PARENTS.get(each, ()))
    of_car, of_bus = splits.of("car", LABELS), splits.of("bus", LABELS)
    assert of_car is not None
    assert of_bus is not None
    assert (of_car.probabilities, of_bus.probabilities) == ((0.4, 0.4), (0.1, 0.7))
    assert of_car.weights == of_bus.weights


def test_class_with_a_name_is_split_by_its_own_boxes() -> None:
    """Its relatives' labels are those of the name."""
    assert split_of(boxes_of("NNNNfff"), LABELS, EVEN) is not None
    assert split_of(boxes_of("NNNNfff"), ("near", "other"), EVEN) is None


def test_labels_with_the_most_boxes_are_told_apart() -> None:
    """Beyond twenty, others are left out: the time grows with their square."""
    names = [f"label {number}" for number in range(25)]
    boxes = DrawnBoxes()
    for number, name in enumerate(names):
        for _ in range(2 + number):
            boxes.add(np.full(10, number / 5), name)
    split = split_of(boxes, names, dict.fromkeys(names, 0.04))
    assert split is not None
    assert split.labels == tuple(names[5:])
