"""Choices of whole images: their scores, and the decision which of them hold."""

from typing import Any

import numpy as np
import pytest
from label_studio_sdk.label_interface import LabelInterface
from samples import Row, detections_of

from ml_backend.classification import Classification
from ml_backend.errors import LabelConfigError
from ml_backend.label_studio.controls.control import ImageField
from ml_backend.label_studio.regions import choices_in, texts_of
from ml_backend.model_results import ModelResults
from ml_backend.postprocessing.postprocessor import Postprocessor
from ml_backend.vocabularies.imagenet import BACKGROUND, imagenet_classes
from ml_backend.vocabularies.open_images import open_images_classes

OUTPUTS = (BACKGROUND, *imagenet_classes())
BOTH: Any = {"detector": open_images_classes().classes(), "classifier": OUTPUTS}
IMAGE = ImageField("image", is_list=False)
PAGES = ImageField("pages", is_list=True)
BOX = (0.1, 0.2, 0.3, 0.4)


def config(inside: str, attributes: str = 'choice="single"', tag: str = "Choices", image: str = "") -> str:
    """Return a label config with one control that classifies images."""
    image = image or '<Image name="image" value="$image"/>'
    return f'<View>{image}<{tag} name="what" toName="image" {attributes}>{inside}</{tag}></View>'


def choices(*values: str) -> str:
    """Return the tags of some choices."""
    return "".join(f'<Choice value="{value}"/>' for value in values)


def classified(**probabilities: float) -> ModelResults:
    """Return a classification with the probabilities of some classes, whose names have underscores for spaces; the rest is background."""
    values = np.zeros(len(OUTPUTS), np.float32)
    names = [each.name for each in OUTPUTS]
    for name, probability in probabilities.items():
        values[names.index(name.replace("_", " "))] = probability
    values[0] = 1 - values.sum()
    return ModelResults(classification=Classification(np.clip(values, 0, 1), 640, 480))


def detected(*rows: Row) -> ModelResults:
    """Return some detections."""
    return ModelResults(detections_of(*rows))


def postprocessor_of(xml: str, classes: Any = BOTH) -> Postprocessor:
    """Return the postprocessor of a label config with a threshold of 0.3."""
    return Postprocessor.from_label_config(xml, score_threshold=0.3, classes=classes)


def answered(xml: str, *images: ModelResults, classes: Any = BOTH, field: ImageField = IMAGE) -> list[Any]:
    """Return the choices of each region, and its score."""
    prediction = postprocessor_of(xml, classes).predict(1, {field: images}, "v1")
    return [(texts_of(region), region["score"]) for region in choices_in(prediction["result"])]


@pytest.mark.parametrize(
    ("inside", "attributes", "found", "expected"),
    [
        (choices("Dog", "Cat"), "", {"beagle": 0.3, "pug": 0.25, "tabby": 0.4}, [(["Dog"], 0.55)]),
        (choices("Dog", "Beagle"), "", {"beagle": 0.4, "pug": 0.35}, [(["Beagle"], 0.4)]),
        (choices("Dog", "Cat"), 'choice="multiple"', {"pug": 0.5, "tabby": 0.4, "car_wheel": 0.1}, [(["Dog", "Cat"], 0.45)]),
        (choices("Dog", "Cat"), 'choice="single-radio"', {"pug": 0.4, "tabby": 0.5}, [(["Cat"], 0.5)]),
        (choices("Dog", "Cat"), "", {"pug": 0.2, "tabby": 0.29}, []),
        (choices("Dog", "Cat"), 'model_score_threshold="0.2"', {"pug": 0.2, "tabby": 0.25}, [(["Cat"], 0.25)]),
        ('<Choice value="Dog" model_score_threshold="0.9"/>' + choices("Cat"), "", {"pug": 0.6, "tabby": 0.35}, [(["Cat"], 0.35)]),
        ('<Choice value="Dog" model_skip="true"/>' + choices("Cat"), "", {"pug": 0.6, "tabby": 0.35}, [(["Cat"], 0.35)]),
        (choices("Dog"), 'model_hierarchy="false"', {"pug": 0.6}, None),
        (choices("Dog"), 'model_skip="true"', {"pug": 0.6}, []),
        ('<Choice value="Dog" alias="d"/>', "", {"pug": 0.6}, [(["d"], 0.6)]),
        ('<Choice value="Animals at home" predicted_values="n02084071, tabby"/>', "", {"pug": 0.3, "tabby": 0.3}, [(["Animals at home"], 0.6)]),
        (choices("hound dog"), "", {"beagle": 0.6}, [(["hound dog"], 0.6)]),
        ('<Choice value="Seats" predicted_values="sofa, rocker"/>', "", {"studio_couch": 0.2, "rocking_chair": 0.4}, [(["Seats"], 0.6)]),
        (choices("n02084071"), "", {"pug": 0.6}, [(["n02084071"], 0.6)]),
        (choices("golden_retriever", "GOLDFISH"), "", {"goldfish": 0.6}, [(["GOLDFISH"], 0.6)]),
    ],
    ids=[
        "everything below a word counts",
        "each class counts once, for the nearest choice",
        "several choices, the mean of their scores",
        "radio buttons are single",
        "nothing reaches the threshold",
        "threshold of the control",
        "threshold of a choice: the best one above its own is shown",
        "skipped choice",
        "no hierarchy, no class",
        "skipped control",
        "alias",
        "predicted values",
        "synonym of WordNet",
        "synonyms among the predicted values",
        "id of WordNet",
        "any spelling",
    ],
)  # fmt: skip
def test_choices_of_a_classifier(inside: str, attributes: str, found: dict[str, float], expected: Any) -> None:
    """The score is the sum of the probabilities of the classes of a choice."""
    xml = config(inside, attributes)
    if expected is None:
        with pytest.raises(LabelConfigError, match="knows none of its choices"):
            postprocessor_of(xml)
        return
    assert answered(xml, classified(**found)) == [(texts, pytest.approx(score)) for texts, score in expected]


TREE = (
    '<Choice value="Animal"><Choice value="Dog"><Choice value="Beagle"/></Choice><Choice value="Cat"/></Choice>'
    '<Choice value="Vehicle"><Choice value="Car"/></Choice>'
)


@pytest.mark.parametrize(
    ("attributes", "found", "expected"),
    [
        ("", {"beagle": 0.5, "pug": 0.2}, [["Animal / Dog / Beagle"]]),
        ("", {"beagle": 0.2, "pug": 0.2}, [["Animal / Dog"]]),
        ("", {"goldfish": 0.2, "pug": 0.2}, [["Animal"]]),
        ("", {"goldfish": 0.35, "convertible": 0.3, "pug": 0.1}, [["Animal"]]),
        ("", {"goldfish": 0.1}, []),
        ('leafsOnly="true"', {"beagle": 0.2, "pug": 0.2}, []),
        ('leafsOnly="true"', {"tabby": 0.4, "pug": 0.2}, [["Animal / Cat"]]),
        ('model_score_threshold="0.15"', {"tabby": 0.16, "convertible": 0.5}, [["Vehicle / Car"]]),
    ],
    ids=[
        "down to the leaf",
        "as deep as the threshold allows",
        "the sum of the branches",
        "the best branch first",
        "nothing",
        "leaves only, none of them sure",
        "leaves only",
        "one path, the best",
    ],
)
def test_taxonomy_of_a_classifier(attributes: str, found: dict[str, float], expected: list[list[str]]) -> None:
    """An item has the probabilities of everything below it; one whole path is chosen."""
    xml = config(TREE, attributes, tag="Taxonomy")
    assert [texts for texts, _ in answered(xml, classified(**found))] == expected


@pytest.mark.parametrize(
    ("attributes", "tag", "expected"),
    [
        ('choice="multiple"', "Choices", [(["Animal", "Vehicle"], 0.7)]),
        ('choice="single"', "Choices", [(["Animal"], 0.9)]),
        ("", "Taxonomy", [(["Animal / Dog", "Vehicle / Car"], 0.7)]),
        ('maxUsages="1"', "Taxonomy", [(["Animal / Dog"], 0.9)]),
    ],
    ids=["several", "one", "paths", "one path"],
)
def test_choices_of_detections(attributes: str, tag: str, expected: Any) -> None:
    """A choice holds if a detection of its classes is shown; its score is that of the best one."""
    inside = TREE if tag == "Taxonomy" else choices("Animal", "Vehicle", "Person")
    found = detected(("Dog", 0.9, BOX), ("Dog", 0.4, BOX), ("Car", 0.5, BOX), ("Person", 0.2, BOX))
    xml = config(inside, attributes + ' model_source="detections"', tag=tag)
    assert answered(xml, found) == [(texts, pytest.approx(score)) for texts, score in expected]


@pytest.mark.parametrize(
    ("classes", "source", "models"),
    [
        ({"detector"}, "", {"detector"}),
        ({"classifier"}, "", {"classifier"}),
        ({"detector", "classifier"}, "", {"classifier"}),
        ({"detector", "classifier"}, "detections", {"detector"}),
        ({"detector"}, "classifier", "it needs a classifier"),
        ({"classifier"}, "detections", "it needs a detector"),
    ],
)
def test_source_of_choices(classes: set[str], source: str, models: Any) -> None:
    """The classifier decides where there is one, unless the config says otherwise; a missing model is named."""
    xml = config(choices("Dog"), f'model_source="{source}"' if source else "")
    there = {kind: BOTH[kind] for kind in classes}
    if isinstance(models, str):
        with pytest.raises(LabelConfigError, match=models):
            postprocessor_of(xml, there)
    else:
        assert postprocessor_of(xml, there).models == models


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [("", [(None, ["Dog"])]), ('perItem="true"', [(0, ["Dog"]), (2, ["Cat"])])],
    ids=["the list as a whole", "each image"],
)
def test_list_of_images(attributes: str, expected: Any) -> None:
    """Probabilities of a list are their mean; with perItem each image has choices of its own."""
    xml = config(choices("Dog", "Cat"), attributes, image='<Image name="image" valueList="$pages"/>')
    images = [classified(pug=0.9, tabby=0.05), classified(pug=0.1), classified(tabby=0.6)]
    found = postprocessor_of(xml).predict(1, {PAGES: images}, "v1")["result"]
    assert [(each.get("item_index"), texts_of(each)) for each in choices_in(found)] == expected
    assert len({each["id"] for each in found}) == len(found)
    assert postprocessor_of(xml).predict(1, {PAGES: []}, "v1")["result"] == []


def test_boxes_and_choices_are_one_prediction() -> None:
    """The score of the task is the mean of all its regions; each control is served by its model."""
    xml = (
        '<View><Image name="image" value="$image"/><RectangleLabels name="box" toName="image"><Label value="Dog"/></RectangleLabels>'
        f'<Choices name="what" toName="image">{choices("Dog", "Cat")}</Choices></View>'
    )
    postprocessor = postprocessor_of(xml)
    assert postprocessor.needs == {IMAGE: {"detector", "classifier"}}
    results = ModelResults(detections_of(("Dog", 0.8, BOX)), classified(pug=0.5).classification)
    prediction = postprocessor.predict(1, {IMAGE: [results]}, "v1")
    found: list[Any] = [(each["from_name"], each["type"], each.get("score")) for each in prediction["result"]]
    assert found == [
        ("box", "rectanglelabels", pytest.approx(0.8)),
        ("what", "choices", pytest.approx(0.5)),
    ]
    assert prediction["score"] == pytest.approx(0.65)
    assert LabelInterface(xml).validate_prediction(prediction)


@pytest.mark.parametrize(
    ("found", "score"),
    [({"pug": 0.2, "tabby": 0.1}, 0.8), ({}, 1.0), ({"pug": 0.6}, 0.6)],
    ids=["nearly", "nothing like it", "chosen"],
)
def test_score_of_a_task_without_a_choice_tells_how_near_it_was(found: dict[str, float], score: float) -> None:
    """Doubtful images come first in Label Studio's sampling, empty ones last: the rule of the boxes."""
    prediction = postprocessor_of(config(choices("Dog", "Cat"))).predict(1, {IMAGE: [classified(**found)]}, "v1")
    assert prediction["score"] == pytest.approx(score)


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        (choices("Dog", "Wombatmobile"), "the classifier knows no class for: Wombatmobile; give such a label predicted_values"),
        (choices("Dog", "Domestic dog"), r"Domestic dog \(its class dog goes to Dog\)"),
        (choices("Crane"), r"'Crane' is taken to mean n03126707 \(crane, a kind of lifting device\); .* n02012849 \(crane, a kind of wading bird"),
        (choices("Crane") + '<Choice value="Bird" predicted_values="n02012849"/>', None),
        ('<Choice value="Crane" predicted_values="n02012849"/>', None),
    ],
    ids=["no class", "two choices of one class", "a word with two meanings", "both meanings have a choice", "meaning is given"],
)  # fmt: skip
def test_doubtful_choices_are_named(inside: str, words: str | None) -> None:
    """Label Studio's users see it on the status page, before they wonder."""
    warnings = " ".join(postprocessor_of(config(inside)).warnings)
    if words is None:
        assert warnings == ""
    else:
        with pytest.raises(AssertionError, match=words):
            raise AssertionError(warnings)


def test_two_choices_that_list_one_class_are_refused() -> None:
    """As with labels: nobody can know which is meant."""
    inside = '<Choice value="A" predicted_values="pug"/><Choice value="B" predicted_values="n02110958"/>'
    with pytest.raises(LabelConfigError, match="'A' and 'B' both list"):
        postprocessor_of(config(inside.replace("n02110958", "PUG")))


def test_choices_about_other_things_leave_boxes_as_they_are() -> None:
    """A question such as "Is it sharp?" beside boxes is named as not served, and the model version stays."""
    boxes = (
        '<View><Image name="image" value="$image"/><RectangleLabels name="box" toName="image"><Label value="Dog"/></RectangleLabels>'
        "{}</View>"
    )
    question = f'<Choices name="sharp" toName="image">{choices("sharp image", "blurred image")}</Choices>'
    alone, beside = (postprocessor_of(boxes.format(each), {"detector": BOTH["detector"]}) for each in ("", question))
    assert alone.digest == beside.digest
    assert "'sharp' is not served" in " ".join(beside.warnings)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (config(choices("Dog")), config(choices("Dog"), 'choice="multiple"')),
        (config(choices("Dog")), config(choices("Dog", "Cat"))),
        (config(choices("Dog")), config(choices("Dog"), 'model_source="detections"')),
        (config(TREE, "", tag="Taxonomy"), config(TREE, 'leafsOnly="true"', tag="Taxonomy")),
        (config(choices("Dog"), ""), config(choices("Dog"), "", tag="Taxonomy")),
    ],
)
def test_digest_changes_with_predictions(one: str, other: str) -> None:
    """Label Studio asks again when predictions could be others."""
    assert postprocessor_of(one).digest != postprocessor_of(other).digest
