"""Reasons that the explanation gives for choices in a tree."""

import numpy as np
import pytest

from ml_backend.classification import Classification
from ml_backend.model_results import ModelResults
from ml_backend.postprocessing.postprocessor import Postprocessor
from ml_backend.vocabularies.imagenet import imagenet_classes

TREE = (
    '<View><Image name="image" value="$image"/><Taxonomy name="tree" toName="image" {}>'
    '<Choice value="Animal"><Choice value="Dog"><Choice value="Terrier"/></Choice><Choice value="Cat"/></Choice>'
    '<Choice value="Vehicle"><Choice value="Car"/></Choice></Taxonomy></View>'
)
GOES_ON = "the path goes on to Animal / Cat"
ANOTHER = "another path is chosen: Animal 0.50 / Cat 0.30"


def probabilities(**given: float) -> ModelResults:
    """Return a classification with the probabilities of some classes, and the rest on one that no choice here has."""
    names = [each.name for each in imagenet_classes()]
    values = np.zeros(len(names), np.float32)
    for name, value in given.items():
        values[names.index(name)] = value
    values[names.index("abacus")] = 1 - values.sum()
    return ModelResults(classification=Classification(values, 640, 480))


@pytest.mark.parametrize(
    ("attributes", "found", "expected"),
    [
        ("", {"tabby": 0.3, "beagle": 0.2, "limousine": 0.35}, {
            "Animal": ("part of another", GOES_ON), "Animal / Cat": ("kept", "Animal / Cat 0.30"),
            "Animal / Dog": ("below the threshold", "below 0.30 (0.20)"),
            "Vehicle": ("not the highest", ANOTHER), "Vehicle / Car": ("not the highest", ANOTHER)}),
        ("", {"beagle": 0.6}, {
            "Animal": ("part of another", "the path goes on to Animal / Dog"), "Animal / Dog": ("kept", "Animal / Dog 0.60"),
            "Animal / Dog / Terrier": ("below the threshold", "below 0.30 (0.00)")}),
        ('leafsOnly="true"', {"beagle": 0.6}, {
            "Animal / Dog": ("not a leaf", 'leafsOnly="true", and no choice below it reaches its threshold')}),
        ('model_skip="true"', {"beagle": 0.6}, {"Animal / Dog": ("skipped", 'model_skip="true"')}),
    ],
    ids=["best item on each level", "as deep as scores allow", "no leaf is high enough", "skipped"],
)  # fmt: skip
def test_each_item_has_its_reason(
    attributes: str, found: dict[str, float], expected: dict[str, tuple[str, str]]
) -> None:
    """An item on the way to the chosen one is told apart from one on another path."""
    postprocessor = Postprocessor.from_label_config(
        TREE.format(attributes), score_threshold=0.3, classes={"classifier": imagenet_classes()}
    )
    results = {field: [probabilities(**found)] for field in postprocessor.needs}
    ((_, _, decisions),) = postprocessor.explain_choices(results)
    reasons = {each.choice.value: (each.kind, each.reason) for each in decisions}
    assert {name: reasons[name] for name in expected} == expected


def test_evidence_of_an_item_includes_the_items_below() -> None:
    """The classes that make its score, the best first."""
    postprocessor = Postprocessor.from_label_config(
        TREE.format(""), score_threshold=0.3, classes={"classifier": imagenet_classes()}
    )
    results = {field: [probabilities(tabby=0.3, beagle=0.2)] for field in postprocessor.needs}
    ((_, _, decisions),) = postprocessor.explain_choices(results)
    assert [name for name, _ in decisions[0].evidence[:2]] == ["tabby", "beagle"]
