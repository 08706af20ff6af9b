"""Labels of classes: which class goes to which label, and what the label config decides itself."""

from collections import Counter
from collections.abc import Mapping

import pytest
from corrections import BOX, annotation, box, postprocessor_of, seen
from samples import detections_of

from ml_backend.feedback.learning.class_evidence import ClassEvidence
from ml_backend.feedback.learning.class_labels import ClassLabel, learn_labels
from ml_backend.feedback.learning.label_probabilities import node_of, parents_of
from ml_backend.vocabularies.imagenet import imagenet_synsets
from ml_backend.vocabularies.open_images import open_images_classes

CLASSES = open_images_classes()
Calls = Mapping[str, Mapping[str, float]]
"""How many boxes of a class people called something, by its name; empty for what is nobody's."""


def config_of(*labels: str) -> str:
    """Return a label config; a label may bring attributes along."""
    tags = "".join(
        f'<Label value="{name}" {attributes}/>' for name, _, attributes in (each.partition(" ") for each in labels)
    )
    return (
        '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
        f"{tags}</RectangleLabels></View>"
    )


FARM = config_of("Stock", "Pet")  # labels of its own invention


def learned(calls: Calls, xml: str = FARM, lowest: float = 0.3) -> dict[str, ClassLabel]:
    """Return the labels of classes by class name."""
    own = postprocessor_of(xml)
    evidence = ClassEvidence(own)
    for name, weights in calls.items():
        known = CLASSES.find(name) or name
        evidence.names[known] = name
        evidence.weights["label"][known] = Counter(weights)
    return {each.class_name: each for each in learn_labels(evidence, own, own, lowest)}


@pytest.mark.parametrize(
    ("calls", "name", "label"),
    [
        ({"Horse": {"Stock": 1}}, "Horse", "Stock"),
        ({"Horse": {"Stock": 5}}, "Sheep", "Stock"),
        ({"Horse": {"Stock": 5}}, "Animal", "Stock"),
        ({"Horse": {"Stock": 5}}, "Car", ""),
        ({"Horse": {"Stock": 5}, "Dog": {"Pet": 5}}, "Cat", "Pet"),
        ({"Horse": {"Stock": 5}, "Cat": {"": 5}}, "Cat", ""),
        ({"papalote": {"Stock": 1}}, "papalote", "Stock"),
        ({"papalote": {"Stock": 5}}, "Horse", ""),
        ({"impala": {"Stock": 5}, "gazelle": {"": 0.1}}, "gazelle", "Stock"),
        ({"Horse": {"Gone": 5}}, "Horse", ""),
    ],
    ids=[
        "one box",
        "a relative",
        "the class above",
        "no relative",
        "the nearer relatives",
        "nobody's, whatever relatives are",
        "a class of no vocabulary",
        "which has no relatives",
        "relatives in WordNet",
        "a label that is gone",
    ],
)
def test_class_learns_from_its_boxes_and_relatives(calls: Calls, name: str, label: str) -> None:
    """Where the label is probable enough to be shown."""
    found = learned(calls).get(name)
    assert (found.label if found else "") == label


@pytest.mark.parametrize(
    ("xml", "name", "label"),
    [
        (config_of("Stock", 'Pet predicted_values="Horse"'), "Horse", ""),
        (config_of("Stock", 'Pet predicted_values="Sheep"'), "Sheep", ""),
        (config_of('Stock model_skip="true"', "Pet"), "Horse", ""),
        (FARM.replace('toName="image">', 'toName="image" model_skip="true">'), "Horse", ""),
        (config_of('Stock model_hierarchy="false"', "Pet"), "Horse", "Stock"),
        (config_of('Stock model_hierarchy="false"', "Pet"), "Sheep", ""),
        (FARM.replace('toName="image">', 'toName="image" model_hierarchy="false">'), "Sheep", ""),
        (config_of("Stock", "Horse"), "Horse", "Stock"),
        (config_of("Stock", "Sheep"), "Sheep", ""),
        (config_of('Farm alias="Stock"'), "Horse", "Stock"),
    ],
    ids=[
        "predicted_values win",
        "also for relatives",
        "a skipped label",
        "a skipped control",
        "hierarchy off, the class itself",
        "hierarchy off, a relative",
        "hierarchy off on the control",
        "twenty boxes outweigh a name",
        "relatives do not",
        "an alias",
    ],
)
def test_label_config_decides_what_may_be_learned(xml: str, name: str, label: str) -> None:
    """Twenty horses that people call Stock."""
    found = learned({"Horse": {"Stock": 20}}, xml).get(name)
    assert (found.label if found else "") == label


def test_boxes_that_a_name_explains_teach_no_relatives() -> None:
    """That a Dog is called Dog does not make cats dogs."""
    assert learned({"Dog": {"Dog": 50, "": 3}, "Cat": {}}, config_of("Dog", "Stock")).keys() <= {"Dog"}


def test_class_that_nobody_drew_needs_no_label() -> None:
    """Below the lowest probability that could be shown."""
    calls = {"Horse": {"Stock": 1, "": 9}}
    assert "Horse" not in learned(calls)
    assert learned(calls, lowest=0.05)["Horse"].probability < 0.3


def test_class_label_tells_what_it_rests_on() -> None:
    """Evidence, probability, and the boxes that would change it."""
    found = learned({"Horse": {"Stock": 6, "": 2}})["Horse"]
    assert (found.evidence, found.before, found.learned, found.changes) == ({"Stock": 6, "": 2}, "", True, True)
    assert 0.6 < found.probability < 0.8
    assert found.boxes_to_change == 7


def test_class_has_its_place_in_one_hierarchy() -> None:
    """Open Images first, then WordNet, else none."""
    synsets = imagenet_synsets()
    assert node_of("Dog") == CLASSES.find("Dog")
    assert node_of("gazelle") == synsets.find("gazelle")
    assert parents_of(node_of("gazelle")) == synsets.parents[node_of("gazelle")]
    assert (node_of("papalote"), parents_of("papalote")) == ("papalote", ())


def test_detections_of_annotations_teach() -> None:
    """From the records to the label."""
    own = postprocessor_of(FARM)
    evidence = ClassEvidence(own)
    for number in range(3):
        evidence.add(annotation(box("Stock"), number=number, images=seen(detections_of(("Horse", 0.9, BOX)))))
    horse = next(each for each in learn_labels(evidence, own, own, 0.3) if each.evidence)
    assert (horse.class_name, horse.label, horse.evidence) == ("Horse", "Stock", {"Stock": 3})
