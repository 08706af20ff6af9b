"""Candidates for a second look, in images whose detections have given probabilities."""

from typing import Any

import numpy as np
import pytest
from corrections import AWAY, BOX, LESS, MOVED, annotation, box, cell, postprocessor_of, seen
from samples import detections_of

from ml_backend.feedback.evaluation.candidates import LIKELY, Candidate, Recall, ReviewedImage, find_candidates
from ml_backend.feedback.evaluation.outcomes import judged_images

LABELS = ["Balloon", "Kite", "Box"]
TOUCHING = (0.3, 0.3, 0.7, 0.7)  # IoU 0.14 with BOX
ALWAYS, NEVER = Recall(), Recall()


def reviewed(drawn: Any, found: Any) -> ReviewedImage:
    """Return an image with drawn boxes and detections, each the more probable the higher its score, and certain of its class's label."""
    detections = detections_of(*found)
    record = annotation(*drawn, images=seen(detections), number=7, annotator=5, task=70)
    (image,) = judged_images(record, postprocessor_of())
    named = np.array([[label == name for label in LABELS] for name in detections.class_names], float).reshape(-1, 3)
    return ReviewedImage(image, 70, 7, 5, LABELS, named * detections.scores[:, None])


for _ in range(1000):
    places = [box("Kite"), box("Box", AWAY)]
    ALWAYS.add(reviewed(places, [("Kite", 0.9, BOX), ("Box", 0.9, AWAY)]))
    NEVER.add(reviewed(places, []))


def candidates_of(drawn: Any, found: Any, recall: Recall = NEVER) -> list[Candidate]:
    """Return the candidates above noise."""
    return [each for each in find_candidates(reviewed(drawn, found), recall) if each.probability > 0.05]


@pytest.mark.parametrize(
    ("drawn", "found", "expected"),
    [
        ([box("Kite")], [("Kite", 0.9, BOX)], []),
        ([box("Kite")], [("Kite", 0.9, MOVED)], []),
        ([box("Kite")], [("Box", 0.9, MOVED)], [("another label", 0.9, "Kite", "Box")]),
        ([box("Kite")], [("Box", 0.9, BOX), ("Kite", 0.2, BOX)], [("another label", 0.72, "Kite", "Box")]),
        ([box("Kite")], [("Box", 0.9, BOX), ("Kite", 0.6, BOX)], []),
        ([box("Kite"), box("Box")], [("Box", 0.9, BOX)], []),
        ([box("Kite")], [("Box", 0.29, BOX)], []),
        ([box("Kite")], [("Box", 0.9, BOX), ("Balloon", 0.5, BOX)], [("another label", 0.9, "Kite", "Box")]),
        ([box("Gone")], [("Box", 0.9, BOX)], [("another label", 0.9, "Gone", "Box")]),
        ([box("Kite")], [("Kite", 0.9, LESS)], [("badly placed", 0.9, "Kite", "Kite")]),
        ([box("Kite")], [("Kite", 0.9, TOUCHING)], [("badly placed", 0.9, "Kite", "Kite")]),
        ([box("Kite"), box("Kite", AWAY)], [("Kite", 0.9, BOX), ("Kite", 0.8, LESS), ("Kite", 0.8, AWAY)], []),
        ([box("Kite")], [("Box", 0.9, LESS)], []),
        ([box("Kite")], [("Kite", 0.9, BOX), ("Box", 0.8, AWAY)], [("overlooked", 0.8, "", "Box")]),
        ([], [("Kite", 0.9, BOX)], [("overlooked", 0.9, "", "Kite")]),
        ([], [("Kite", 0.9, BOX), ("Kite", 0.8, MOVED)], [("overlooked", 0.9, "", "Kite")]),
        ([], [("Kite", 0.29, BOX)], []),
        ([], [("Kite", 0.31, BOX)], [("overlooked", 0.31, "", "Kite")]),
        ([], [("Stranger", 0.9, BOX)], []),
        ([], [], []),
    ],
    ids=[
        "as detected",
        "nearly as detected",
        "a confident detection of another label",
        "the drawn label is a little supported, too",
        "a detection of the drawn label explains it",
        "the other label is drawn, too",
        "a detection that is not confident",
        "the more probable of two labels",
        "a label that is gone",
        "IoU 0.45 with its label",
        "IoU 0.14 with its label",
        "a second detection of a matched box",
        "near a detection of another label",
        "nobody drew it",
        "nothing was drawn at all",
        "a detection that a better one suppresses",
        "nobody drew it, and it is not confident",
        "nobody drew it, and it is just confident",
        "a class without a label",
        "nothing",
    ],
)
def test_drawn_boxes_are_compared_with_detections(drawn: Any, found: Any, expected: Any) -> None:
    """A box that a detection of its label explains is no candidate, and neither is that detection; one candidate for each box."""
    rounded = [
        (each.kind, round(each.probability, 3), each.label, each.detected_label) for each in candidates_of(drawn, found)
    ]
    assert rounded == expected


@pytest.mark.parametrize(
    ("found", "probability"),
    [([], 1.0), ([("Box", 0.25, BOX)], 0.75), ([("Kite", 0.25, TOUCHING)], 0.75), ([("Box", 0.25, AWAY)], 1.0)],
    ids=["nothing was detected", "something else may be there", "something may be near", "something elsewhere"],
)
def test_box_where_nothing_is_detected_counts_by_the_recall(found: Any, probability: float) -> None:
    """A detector that always finds objects of this label and size contradicts; one that never does says nothing."""
    (candidate,) = candidates_of([box("Kite")], found, ALWAYS)
    assert (candidate.kind, candidate.detected, candidate.detected_label) == ("nothing there", None, "")
    assert candidate.probability == pytest.approx(probability, abs=0.01)
    assert candidates_of([box("Kite")], found, NEVER) == []


def test_strongest_contradiction_of_a_box_counts() -> None:
    """Each box is listed once."""
    (candidate,) = candidates_of([box("Kite")], [("Box", 0.35, BOX), ("Kite", 0.8, TOUCHING)], NEVER)
    assert candidate.kind == "badly placed"
    assert candidate.probability == pytest.approx(0.8)


def test_detection_speaks_about_one_box() -> None:
    """The one that it overlaps most: the others are not badly placed because of it."""
    (candidate,) = candidates_of([box("Kite", TOUCHING), box("Kite", LESS)], [("Kite", 0.9, BOX)])
    assert (candidate.kind, candidate.drawn) == ("badly placed", LESS)


def test_recall_is_that_of_the_label_and_the_size() -> None:
    """From a probability of 0.3 a box counts as found; labels and sizes with few boxes lean on others."""
    recall = Recall()
    for place in range(50):
        small, large = cell(place), BOX
        recall.add(reviewed([box("Kite", large), box("Box", small)], [("Kite", LIKELY + 0.01, large)]))
        recall.add(reviewed([box("Box", large)], [("Box", LIKELY - 0.01, large)]))
    assert recall.of(box("Kite")) > 0.9
    assert recall.of(box("Box")) < 0.1
    assert recall.of(box("Box", cell(3))) < 0.05
    assert 0.4 < recall.of(box("Balloon")) < 0.6  # half of the large boxes are found
    assert Recall().of(box("Kite")) == 0.5


def test_candidate_knows_where_it_is() -> None:
    """Ids, image and both boxes, for links and crops."""
    candidates = {each.kind: each for each in candidates_of([box("Kite")], [("Box", 0.9, MOVED), ("Box", 0.8, AWAY)])}
    other, missing = candidates["another label"], candidates["overlooked"]
    assert (other.task, other.annotation, other.annotator, other.control, other.item) == (70, 7, 5, "label", 0)
    assert (other.drawn, other.reference, missing.drawn) == (BOX, "0.jpg", None)
    assert [*(other.detected or ()), *(missing.detected or ())] == pytest.approx([*MOVED, *AWAY])
