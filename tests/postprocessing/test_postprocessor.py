import json
from typing import Any

import pytest
from label_studio_sdk.label_interface import LabelInterface
from samples import BALLOON_CONFIG, Row, detections_of

from ml_backend.errors import LabelConfigError
from ml_backend.label_studio.controls.control import ImageField
from ml_backend.label_studio.interactive import read_drawn_region
from ml_backend.label_studio.regions import label_of, rectangles_in
from ml_backend.model_results import ModelResults
from ml_backend.postprocessing.postprocessor import Postprocessor
from ml_backend.postprocessing.served_controls import KnownClasses
from ml_backend.vocabularies.class_list import ModelClass
from ml_backend.vocabularies.open_images import open_images_classes

IMAGE = ImageField("image", is_list=False)

TWO_CAMERAS = (
    '<View><Image name="front" value="$front"/><Image name="rear" value="$rear"/>'
    '<RectangleLabels name="a" toName="front"><Label value="Car"/></RectangleLabels>'
    '<RectangleLabels name="b" toName="rear"><Label value="car"/><Label value="Person"/></RectangleLabels>'
    '<RectangleLabels name="c" toName="front"><Label value="Vehicle" predicted_values="Car"/></RectangleLabels></View>'
)


def postprocessor(xml: str = BALLOON_CONFIG, score_threshold: float = 0.3) -> Postprocessor:
    """Decide a policy for a detector that speaks Open Images."""
    return Postprocessor.from_label_config(
        xml, score_threshold=score_threshold, classes={"detector": open_images_classes().classes()}
    )


BOX, AWAY = (0.1, 0.2, 0.3, 0.4), (0.6, 0.6, 0.9, 0.9)


def test_threshold_and_labels_select() -> None:
    """Other classes and lower scores are left out; a score on the threshold is in."""
    found = detections_of(("Kite", 0.9, BOX), ("Car", 0.9, BOX), ("Box", 0.29, BOX), ("Balloon", 0.3, BOX))
    prediction = postprocessor().predict(1, {IMAGE: [ModelResults(found)]}, "v1")
    assert [label_of(region) for region in rectangles_in(prediction["result"])] == ["Kite", "Balloon"]
    assert prediction["score"] == pytest.approx(0.6)
    assert prediction["model_version"] == "v1"


def test_labels_that_share_an_alias_both_get_boxes() -> None:
    """They are one label in results: they suppress each other, may list one class, and each brings its own ``predicted_values``."""
    xml = (
        '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
        '<Label value="Car" alias="c" predicted_values="Kite,Box"/><Label value="Truck" alias="c" predicted_values="Kite"/>'
        "</RectangleLabels></View>"
    )
    rows: list[Row] = [("Car", 0.9, BOX), ("Truck", 0.8, AWAY), ("Truck", 0.7, BOX), ("Kite", 0.6, (0.5, 0, 0.6, 0.1))]
    prediction = postprocessor(xml).predict(1, {IMAGE: [ModelResults(detections_of(*rows))]}, "v1")
    assert [(label_of(each), each["score"]) for each in rectangles_in(prediction["result"])] == [
        ("c", 0.9),
        ("c", 0.8),
        ("c", 0.6),
    ]
    assert postprocessor(xml).warnings == ()


def test_nothing_found_is_an_empty_result_with_a_score() -> None:
    """Label Studio then knows that the picture was looked at."""
    assert postprocessor().predict(1, {IMAGE: [ModelResults(detections_of())]}, "v1") == {
        "result": [],
        "score": 1.0,
        "model_version": "v1",
    }


def test_each_control_draws_on_its_own_image() -> None:
    """Several controls and images: names, sizes and labels are those of the control."""
    front, rear = detections_of(("Car", 0.9, BOX)), detections_of(("Car", 0.8, BOX), ("Person", 0.7, BOX), width=320)
    decided = postprocessor(TWO_CAMERAS)
    assert list(decided.needs) == [ImageField("front", False), ImageField("rear", False)]
    regions = rectangles_in(
        decided.predict(
            1,
            {ImageField("front", False): [ModelResults(front)], ImageField("rear", False): [ModelResults(rear)]},
            "v1",
        )["result"]
    )
    assert [(each["from_name"], each["to_name"], label_of(each), each["original_width"]) for each in regions] == [
        ("a", "front", "Car", 640),
        ("b", "rear", "car", 320),
        ("b", "rear", "Person", 320),
        ("c", "front", "Vehicle", 640),
    ]
    assert len({each["id"] for each in regions}) == 4


def test_list_of_images_tells_which_one() -> None:
    """``item_index`` counts from 0, and ids differ between images with the same boxes."""
    pages = BALLOON_CONFIG.replace('value="$image"', 'valueList="$pages"')
    found = {
        ImageField("pages", True): [
            ModelResults(detections_of(("Kite", 0.9, BOX))),
            ModelResults(detections_of()),
            ModelResults(detections_of(("Kite", 0.9, BOX), width=320)),
        ]
    }
    regions = rectangles_in(postprocessor(pages).predict(1, found, "v1")["result"])
    assert [(each["item_index"], each["original_width"]) for each in regions] == [(0, 640), (2, 320)]
    assert len({each["id"] for each in regions}) == 2


def test_pair_of_tags_writes_a_rectangle_as_two_regions() -> None:
    """One id, two halves; Label Studio's own validation accepts them, and the score counts each rectangle once."""
    pair = (
        '<View><Image name="image" value="$image"/><Rectangle name="box" toName="image"/>'
        '<Labels name="what" toName="image"><Label value="Kite"/></Labels></View>'
    )
    prediction = postprocessor(pair).predict(
        1, {IMAGE: [ModelResults(detections_of(("Kite", 0.9, BOX), ("Kite", 0.5, AWAY)))]}, "v1"
    )
    box, name, *_ = rectangles_in(prediction["result"])
    assert (box["from_name"], box["type"], label_of(box)) == ("box", "rectangle", "")
    assert (name["from_name"], name["type"], label_of(name)) == ("what", "labels", "Kite")
    assert box["id"] == name["id"]
    assert box["value"]["x"] == name["value"]["x"]
    assert len(rectangles_in(prediction["result"])) == 4
    assert prediction["score"] == pytest.approx(0.7)
    assert LabelInterface(pair).validate_prediction(prediction)


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        pytest.param(BALLOON_CONFIG, [("label", "rectanglelabels", ["rectanglelabels"], None)], id="RectangleLabels"),
        pytest.param(
            BALLOON_CONFIG.replace('value="$image"', 'valueList="$image"'),
            [("label", "rectanglelabels", ["rectanglelabels"], 1)],
            id="a list of images",
        ),
        pytest.param(
            '<View><Image name="image" value="$image"/><Rectangle name="box" toName="image"/>'
            '<Labels name="label" toName="image"><Label value="Kite"/></Labels></View>',
            [("box", "rectangle", [], None), ("label", "labels", ["labels"], None)],
            id="a pair of tags",
        ),
    ],
)
def test_drawn_rectangle_without_a_detection_is_the_answer(xml: str, expected: list[Any]) -> None:
    """With Auto-Accept, Label Studio would delete it for an empty one. Turned or not, it stays as it was drawn."""
    given = {"x": 80.0, "y": 1.5, "width": 12.25, "height": 7.0, "rotation": 33.3}
    words = "labels" if "<Rectangle " in xml else "rectanglelabels"
    region: dict[str, Any] = {"id": "r", "from_name": "label", "to_name": "image", "value": {**given, words: ["Kite"]}}
    region |= {"original_width": 640, "original_height": 480, "item_index": 1 if "valueList" in xml else None}
    decided = postprocessor(xml)
    gesture = read_drawn_region({"result": [region]}, decided.controls)
    assert gesture is not None
    answer = decided.predict_drawn(gesture, detections_of(("Kite", 0.9, BOX)), 1, "v1")
    assert (answer["score"], answer["model_version"]) == (1.0, "v1")
    parts = rectangles_in(answer["result"])
    assert [
        (each["from_name"], each["type"], list(each["value"])[5:], each.get("item_index")) for each in parts
    ] == expected
    assert all({name: each["value"].get(name) for name in given} == given for each in parts)
    assert {label_of(each) for each in parts} - {""} == {"Kite"}
    assert len({each["id"] for each in parts}) == 1
    assert not any("score" in each for each in parts)
    assert LabelInterface(xml).validate_prediction(answer)


def test_prediction_is_plain_json_and_label_studio_accepts_it() -> None:
    """No numpy scalar, no NaN; the SDK's own validation passes."""
    prediction = postprocessor().predict(1, {IMAGE: [ModelResults(detections_of(("Kite", 0.87654321, BOX)))]}, "v1")
    assert json.loads(json.dumps(prediction, allow_nan=False)) == prediction
    assert LabelInterface(BALLOON_CONFIG).validate_prediction(prediction)


@pytest.mark.parametrize(
    ("xml", "threshold"),
    [
        (BALLOON_CONFIG.replace("Kite", "kite"), 0.3),
        (BALLOON_CONFIG.replace('name="label"', 'name="boxes"'), 0.3),
        (BALLOON_CONFIG.replace("$image", "$picture"), 0.3),
        (BALLOON_CONFIG.replace('"Box"', '"Box" predicted_values="Car"'), 0.3),
        (BALLOON_CONFIG, 0.31),
        (BALLOON_CONFIG.replace('toName="image"', 'toName="image" model_nms_iou="0.5"'), 0.3),
        (BALLOON_CONFIG.replace('toName="image"', 'toName="image" model_nms_across_labels="true"'), 0.3),
        (BALLOON_CONFIG.replace('"Box"', '"Box" model_skip="true"'), 0.3),
    ],
    ids=[
        "label",
        "control",
        "task key",
        "predicted values",
        "threshold",
        "control's attribute",
        "suppression across labels",
        "label's attribute",
    ],
)
def test_digest_changes_when_predictions_could(xml: str, threshold: float) -> None:
    """Label Studio then asks again."""
    assert postprocessor(xml, threshold).digest != postprocessor().digest


@pytest.mark.parametrize(
    "xml",
    [
        BALLOON_CONFIG.replace("<View>", '<View>\n  <Header value="Please draw"/>'),
        BALLOON_CONFIG.replace('<Label value="Kite"/>', '<Label value="Kite" background="red"/>'),
        BALLOON_CONFIG.replace('value="$image"', 'value="$image" zoom="true"'),
    ],
    ids=["a heading", "a colour", "a zoom button"],
)
def test_digest_stays_when_predictions_cannot_change(xml: str) -> None:
    """A change of looks asks nothing again."""
    assert postprocessor(xml).digest == postprocessor().digest


def test_labels_that_no_class_reaches_are_warned_of() -> None:
    """The warning names them and says what to do."""
    (warning,) = postprocessor(BALLOON_CONFIG.replace('"Kite"', '"Widget"')).warnings
    assert "Widget" in warning
    assert "predicted_values" in warning


def test_config_whose_labels_the_detector_all_does_not_know_is_refused() -> None:
    """Empty predictions for every task would hide the mistake."""
    xml = BALLOON_CONFIG.replace("Kite", "Widget").replace("Balloon", "Gadget").replace("Box", "Gizmo")
    with pytest.raises(LabelConfigError, match="knows none of the labels of this config"):
        postprocessor(xml)


def test_config_whose_labels_the_detector_all_does_not_know_is_served_where_corrections_teach() -> None:
    """With a warning; choices are not taught."""
    xml = BALLOON_CONFIG.replace("Kite", "Widget").replace("Balloon", "Gadget").replace("Box", "Gizmo")
    classes: KnownClasses = {"detector": (ModelClass("Kite", ""),), "classifier": ()}
    taught = Postprocessor.from_label_config(xml, score_threshold=0.3, classes=classes, teachable=True)
    assert taught.warnings[0] == (
        "the detector knows none of the labels of this config (Gadget, Widget, Gizmo): no box is shown until corrections have taught them; "
        'or give such a label predicted_values="…" with the class names or ids that it stands for'
    )
    assert taught.predict(1, {IMAGE: [ModelResults(detections_of(("Kite", 0.9, BOX)))]}, "v")["result"] == []


def test_detector_with_classes_of_its_own_takes_any_label() -> None:
    """Where the vocabulary is unknown, no label can be called wrong."""
    xml = BALLOON_CONFIG.replace("Kite", "Helmet")
    decided = Postprocessor.from_label_config(xml, score_threshold=0.3)
    assert decided.warnings == ()
    assert len(decided.predict(1, {IMAGE: [ModelResults(detections_of(("helmet", 0.9, BOX)))]}, "v")["result"]) == 1
