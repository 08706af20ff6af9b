"""The evidence of classes: what people drew where the detector found them."""

from typing import Any

import pytest
from corrections import AWAY, BOX, MOVED, PEOPLE_CONFIG, annotation, box, postprocessor_of, seen
from samples import Row, detections_of

from ml_backend.detections import Detections
from ml_backend.feedback.learning.class_evidence import ClassEvidence


def people(*rows: Row) -> Detections:
    """Return detections with their MIDs, as a detector of Open Images gives them."""
    mids = {"Person": "/m/01g317", "Clothing": "/m/09j2d"}
    found = detections_of(*rows)
    named = tuple(mids.get(name, "") for name in found.class_names)
    return Detections(found.boxes, found.scores, found.class_names, named, found.width, found.height)


@pytest.mark.parametrize(
    ("rows", "drawn", "classes"),
    [
        ([], [box("Worker")], {}),
        ([("Person", 0.9, BOX)], [box("Worker")], {"/m/01g317": {"Worker": 1}}),
        ([("Person", 0.9, BOX)], [], {"/m/01g317": {"": 0.9}}),
        ([("Person", 0.09, BOX)], [box("Worker")], {}),
        ([("Robot", 0.9, BOX)], [box("Worker")], {"Robot": {"Worker": 1}}),
        ([("Person", 0.9, BOX), ("Robot", 0.8, BOX)], [box("Worker")], {"/m/01g317": {"Worker": 1}, "Robot": {}}),
        ([("Robot", 0.9, BOX), ("Person", 0.8, BOX)], [box("Worker")], {"/m/01g317": {}, "Robot": {"Worker": 1}}),
        ([("Robot", 0.9, BOX), ("Person", 0.8, BOX)], [box("Person")], {"/m/01g317": {"Person": 1}, "Robot": {}}),
        ([("Robot", 0.9, BOX), ("Person", 0.8, BOX)], [box("Person"), box("Worker")], {"/m/01g317": {"Person": 1}, "Robot": {"Worker": 1}}),
        ([("Person", 0.9, BOX), ("Person", 0.8, MOVED)], [box("Worker")], {"/m/01g317": {"Worker": 1}}),
        ([("Person", 0.9, BOX), ("Person", 0.9, AWAY)], [box("Worker"), box("Gone", AWAY)], {"/m/01g317": {"Worker": 1, "Gone": 1}}),
        ([("Person", 0.9, BOX)], [box("")], {"/m/01g317": {"": 1}}),
        ([("Person", 0.9, BOX)], [box("Worker"), box("Clothing")], {"/m/01g317": {"Worker": 1}}),
    ],
    ids=[
        "not found",
        "found",
        "nobody's",
        "below the lowest score",
        "a class without a MID",
        "two classes on one object: the surer one",
        "the same, and the other one is surer",
        "one that goes there already explains it",
        "two classes and two labels on one object",
        "twice on one object",
        "a label that is gone",
        "without a label",
        "two labels on one object",
    ],
)  # fmt: skip
def test_evidence_is_what_people_drew_where_a_class_was_found(
    rows: list[Row], drawn: Any, classes: dict[str, dict[str, float]]
) -> None:
    """A box of another class on the same object says nothing, and one on none counts its score for nobody."""
    evidence = ClassEvidence(postprocessor_of(PEOPLE_CONFIG))
    evidence.add(annotation(*drawn, images=seen(people(*rows))))
    assert evidence.weights["label"] == {known: pytest.approx(weights) for known, weights in classes.items()}


@pytest.mark.parametrize("how", ["skipped", "accepted"])
def test_annotations_that_nobody_made_are_no_evidence(how: str) -> None:
    """Skipped tasks, and predictions that were accepted in bulk."""
    evidence = ClassEvidence(postprocessor_of(PEOPLE_CONFIG))
    facts: dict[str, Any] = {"skipped": False, how: True}
    evidence.add(annotation(box("Worker"), images=seen(people(("Person", 0.9, BOX))), **facts))
    assert not evidence.names


@pytest.mark.parametrize(
    ("xml", "kept"),
    [
        (PEOPLE_CONFIG, ["Worker"]),
        (PEOPLE_CONFIG.replace("Worker", "Passer-by"), ["Passer-by"]),
        (PEOPLE_CONFIG.replace("Worker", "Man"), []),
    ],
    ids=["Worker is no class", "nor is this", "each label has classes by its name"],
)
def test_features_are_kept_where_labels_can_be_split(xml: str, kept: list[str]) -> None:
    """An ordinary project pays nothing for it."""
    evidence = ClassEvidence(postprocessor_of(xml))
    drawn = [box(each) for each in kept]
    evidence.add(annotation(*drawn, drawable={"label": ("Person", *kept)}, images=seen(people(("Person", 0.9, BOX)))))
    assert [each for boxes in evidence.boxes["label"].values() for each in boxes.labels] == kept
