"""One class, several labels: from the revision to the answer and its reasons."""

import json
from typing import Any

import numpy as np
import pytest
from samples import Row, detections_of

from ml_backend.detections import Detections
from ml_backend.errors import LabelConfigError
from ml_backend.label_studio.controls.control import ImageField
from ml_backend.label_studio.interactive import DrawnRegion
from ml_backend.label_studio.regions import RectangleValue, label_of, rectangles_in
from ml_backend.model_results import ModelResults
from ml_backend.postprocessing.explanation import Explanation
from ml_backend.postprocessing.interactive import select_detection
from ml_backend.postprocessing.label_split import LabelSplit
from ml_backend.postprocessing.overrides import NO_OVERRIDES, LabelOverrides
from ml_backend.postprocessing.postprocessor import Postprocessor
from ml_backend.vocabularies.class_list import ModelClass

SOURCE = ImageField("image", is_list=False)
CONFIG = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
    '<Label value="near"/><Label value="far"/><Label value="Car"/></RectangleLabels></View>'
)
LARGE, SMALL, OTHER = (0.0, 0.0, 0.8, 0.4), (0.5, 0.6, 0.6, 0.65), (0.1, 0.5, 0.2, 0.6)
NEAR = LabelSplit(  # sizes count from a tenth of the image's height to all of it; colours do not
    labels=("near", "far"),
    probabilities=(0.5, 0.4),
    centre=(-1.5,) + (0.0,) * 9,
    weights=((0.0, 2.0) + (0.0,) * 9, (0.0,) * 11),
    needed=(0.3, 0.3),
)
ROBOT = ("label", "Robot")


def overrides_of(split: LabelSplit = NEAR, which: tuple[str, str] = ROBOT) -> LabelOverrides:
    """Return a revision's overrides with a split, as calibration makes them."""
    return LabelOverrides.of({}, {which: split.first}, splits={which: split})


def postprocessor_of(overrides: LabelOverrides, xml: str = CONFIG, **more: Any) -> Postprocessor:
    """Return the postprocessor of a label config, where the settings' threshold is 0.3."""
    return Postprocessor.from_label_config(xml, score_threshold=0.3, overrides=overrides, **more)


def answered(postprocessor: Postprocessor, detections: Detections) -> list[str]:
    """Return the labels of the regions of a prediction."""
    prediction = postprocessor.predict(1, {SOURCE: [ModelResults(detections)]}, "v")
    return [label_of(region) for region in rectangles_in(prediction["result"])]


def reasons(postprocessor: Postprocessor, *rows: Row) -> list[str]:
    """Return what becomes of each detection."""
    explained = Explanation.of(postprocessor, {SOURCE: [ModelResults(detections_of(*rows))]})
    return [decision.reason for decision in explained.boxes[0].decisions]


@pytest.mark.parametrize(
    ("rows", "labels"),
    [
        ([("Robot", 0.9, LARGE)], ["near"]),
        ([("Robot", 0.9, SMALL)], ["far"]),
        ([("Robot", 0.9, LARGE), ("Robot", 0.8, SMALL), ("Car", 0.7, OTHER)], ["near", "far", "Car"]),
        ([("Cat", 0.9, LARGE)], []),
        ([], []),
    ],
    ids=["large", "small", "both, and another class", "another class alone", "nothing"],
)
def test_boxes_of_one_class_have_their_own_labels(rows: list[Row], labels: list[str]) -> None:
    """By what the box is like; other classes keep theirs."""
    assert answered(postprocessor_of(overrides_of()), detections_of(*rows)) == labels


@pytest.mark.parametrize("colours", [None, [[0] * 6], [[250, 128, 128, 9, 0, 0]], [[20, 128, 128, 9, 0, 0]]])
def test_colours_count_where_they_are_known(colours: list[list[int]] | None) -> None:
    """A bright box is near and a dark one far; one without colours is as probable as the class."""
    split = LabelSplit(
        ("near", "far"), (0.4, 0.5), (0.0,) * 10, ((0.0,) * 5 + (3.0,) + (0.0,) * 5, (0.0,) * 11), (0.3,) * 2
    )
    plain = detections_of(("Robot", 0.99, LARGE))
    known = None if colours is None else np.array(colours, np.uint8)
    found = Detections(plain.boxes, plain.scores, plain.class_names, plain.class_mids, 640, 480, colours=known)
    bright = colours is not None and colours[0][0] > 128
    assert answered(postprocessor_of(overrides_of(split)), found) == ["near" if bright else "far"]


def test_reasons_name_the_probability_of_the_label() -> None:
    """A box is shown where its own probability times that of the label is high enough."""
    rows: list[Row] = [("Robot", 0.6, LARGE), ("Robot", 0.32, SMALL), ("Car", 0.9, OTHER)]
    assert reasons(postprocessor_of(overrides_of()), *rows) == [
        "kept as near 0.60, near by 84%",
        "below 0.34 (0.32), far by 87%",
        "kept as Car 0.90",
    ]


def test_label_that_is_never_certain_enough_is_not_shown() -> None:
    """Whatever the score."""
    doubtful = LabelSplit(NEAR.labels, (0.1, 0.1), NEAR.centre, NEAR.weights, NEAR.needed)
    (reason,) = reasons(postprocessor_of(overrides_of(doubtful)), ("Robot", 1.0, LARGE))
    assert reason == "no score is high enough (1.00), near by 18%"


@pytest.mark.parametrize(
    ("drawable", "labels"),
    [(("near", "far"), ["near", "far"]), (("far", "Car"), ["far", "far"]), (("Car",), [])],
    ids=["both", "one of them", "none"],
)
def test_annotations_from_before_a_label_are_judged_without_it(drawable: tuple[str, ...], labels: list[str]) -> None:
    """All boxes of the class have the label that there was."""
    limited = postprocessor_of(overrides_of()).limited_to({"label": drawable})
    assert answered(limited, detections_of(("Robot", 0.9, LARGE), ("Robot", 0.9, SMALL))) == labels


@pytest.mark.parametrize(
    ("attributes", "labels"),
    [
        ('<Label value="near"/>', ["near", "far"]),
        ('<Label value="near" model_skip="true"/>', ["far"]),
        ('<Label value="near" predicted_values="Robot"/>', ["near", "near"]),
        ('<Label value="near" model_score_threshold="0.95"/>', ["far"]),
        ('<Label value="Robot"/>', ["far", "far"]),
    ],
    ids=["nothing said", "skipped", "predicted_values", "a threshold", "a label is gone"],
)
def test_label_config_takes_precedence(attributes: str, labels: list[str]) -> None:
    """Somebody's decision counts more than what was learned."""
    xml = CONFIG.replace('<Label value="near"/>', attributes)
    found = detections_of(("Robot", 0.9, LARGE), ("Robot", 0.9, SMALL))
    assert answered(postprocessor_of(overrides_of(), xml), found) == labels


def test_labels_of_a_split_are_reached() -> None:
    """No warning says that the detector knows no class for them."""
    classes = {"detector": (ModelClass("Robot", ""), ModelClass("Car", "/m/0k4j")), "classifier": None}
    with_split, without = (postprocessor_of(each, classes=classes) for each in (overrides_of(), NO_OVERRIDES))
    assert with_split.warnings == ()
    assert "near, far" in without.warnings[0]
    with pytest.raises(LabelConfigError, match="knows none"):
        postprocessor_of(NO_OVERRIDES, CONFIG.replace('<Label value="Car"/>', ""), classes=classes)


def test_drawn_rectangle_snaps_to_the_box_of_its_label() -> None:
    """In interactive mode, too, the label of a box is its own."""
    nearly = (0.5, 0.6, 0.6, 0.649)
    postprocessor = postprocessor_of(overrides_of())
    ((control, label_map),) = postprocessor.rectangles
    rectangle: RectangleValue = {"x": 60, "y": 50, "width": 4.9, "height": 10, "rotation": 0}
    drawn = DrawnRegion(control, 0, "far", "id", rectangle, np.array([nearly], np.float32))
    assert select_detection(drawn, detections_of(("Robot", 0.9, SMALL), ("Cat", 0.9, nearly)), label_map) == 0


def test_split_changes_the_digest() -> None:
    """Since it changes predictions; a project without one keeps its own."""
    other = LabelSplit(NEAR.labels, NEAR.probabilities, NEAR.centre, NEAR.weights, (0.2, 0.2))
    digests = {
        postprocessor_of(each).digest
        for each in (overrides_of(), overrides_of(other), LabelOverrides.of({}, {ROBOT: "near"}), NO_OVERRIDES)
    }
    assert len(digests) == 4


@pytest.mark.parametrize("which", [[ROBOT], [ROBOT, ("label", "/m/0k4j"), ("other", "Robot")]])
def test_revision_keeps_splits(which: list[tuple[str, str]]) -> None:
    """What relatives share is written once."""
    overrides = LabelOverrides.of({}, dict.fromkeys(which, "near"), splits=dict.fromkeys(which, NEAR))
    written = json.loads(json.dumps(overrides.to_json()))
    assert LabelOverrides.from_json(written) == overrides
    assert len(written["splits"]) == 1


def test_revisions_of_other_versions_are_read() -> None:
    """One without splits as ever; one with splits of another kind has the most probable label of each class."""
    plain = LabelOverrides.of({}, {ROBOT: "near"})
    assert "splits" not in plain.to_json()
    written = json.loads(json.dumps(overrides_of().to_json()))
    written["splits"][0]["version"] = 2
    assert LabelOverrides.from_json(written) == plain
