"""Outcomes of shown and of drawn boxes."""

from dataclasses import replace
from typing import Any

import pytest
from corrections import (
    AWAY,
    BOX,
    LESS,
    MOVED,
    NEARLY,
    PAIR_CONFIG,
    PEOPLE_CONFIG,
    Edges,
    annotation,
    box,
    postprocessor_of,
    seen,
)
from hypothesis import given
from hypothesis import strategies as st
from samples import BALLOON_CONFIG, Row, detections_of

from ml_backend.feedback.evaluation.outcomes import (
    MatchedImage,
    classify_drawn,
    classify_shown,
    count_edits,
    matched_images,
)
from ml_backend.label_studio.labelled_boxes import LabelledBox
from ml_backend.postprocessing.postprocessor import Postprocessor

LIST_CONFIG = BALLOON_CONFIG.replace('value="$image"', 'valueList="$image"')
TWO_CAMERAS = (
    '<View><Image name="front" value="$front"/><Image name="rear" value="$rear"/>'
    '<RectangleLabels name="a" toName="front"><Label value="Kite"/></RectangleLabels>'
    '<RectangleLabels name="b" toName="rear"><Label value="Kite"/></RectangleLabels></View>'
)
FOUND = detections_of(("Kite", 0.9, BOX), ("Balloon", 0.2, AWAY), ("Car", 0.9, AWAY))


def image_of(
    found: list[Row], drawn: list[LabelledBox], shown: list[LabelledBox] | None, xml: str = BALLOON_CONFIG
) -> MatchedImage:
    """Return the matched image of an annotation of one image."""
    facts = annotation(*drawn, shown=None if shown is None else tuple(shown), images=seen(detections_of(*found)))
    (image,) = matched_images(facts, postprocessor_of(xml))
    return image


@pytest.mark.parametrize(
    ("parts", "labels", "saw_predictions"),
    [
        ({"shown": (box("Box", AWAY),)}, ["Box"], True),
        ({"shown": ()}, [], True),
        ({"shown": None}, ["Kite"], False),
        ({"shown": (), "audited": True}, ["Kite"], False),
        ({"shown": (box("Box", AWAY, control="gone"), box("Box", AWAY, item=1))}, [], True),
        ({"shown": (box("Gone", AWAY),)}, ["Gone"], True),
    ],
    ids=["a prediction", "an empty prediction", "no prediction", "audited", "elsewhere", "a label that is gone"],
)
def test_shown_is_what_the_annotator_saw(parts: dict[str, Any], labels: list[str], saw_predictions: bool) -> None:
    """Or the boxes that would be shown now, for an annotator who saw none."""
    (image,) = matched_images(annotation(images=seen(FOUND), **parts), postprocessor_of())
    assert ([each.label for each in image.shown], image.saw_predictions) == (labels, saw_predictions)


def test_what_would_be_shown_lies_inside_the_picture() -> None:
    """A detector may go a little beyond it."""
    (image,) = matched_images(
        annotation(images=seen(detections_of(("Kite", 0.75, (-0.5, 0.25, 0.5, 1.5))))), postprocessor_of()
    )
    assert image.shown == [LabelledBox("label", 0, "Kite", (0, 0.25, 0.5, 1), 0.75)]


@pytest.mark.parametrize(
    ("xml", "images", "expected"),
    [
        (BALLOON_CONFIG, seen(FOUND), [("label", ["Kite"])]),
        (BALLOON_CONFIG, (), []),
        (BALLOON_CONFIG, seen(FOUND, key="picture"), []),
        (LIST_CONFIG, seen(FOUND), [("label", ["Kite"])]),
        (LIST_CONFIG, seen(FOUND, FOUND), [("label", ["Kite"]), ("label", ["Balloon"])]),
        (BALLOON_CONFIG, seen(FOUND, FOUND), [("label", ["Kite"])]),
        (LIST_CONFIG, (), []),
        (BALLOON_CONFIG.replace('"label"', '"other"'), seen(FOUND), [("other", [])]),
        (PAIR_CONFIG, seen(FOUND), [("box", [])]),
        (TWO_CAMERAS, seen(FOUND, key="front") + seen(FOUND, key="rear"), [("a", []), ("b", [])]),
        (TWO_CAMERAS, seen(FOUND, key="rear"), [("b", [])]),
    ],
    ids=[
        "as it was",
        "no image could be read",
        "the config names another key now",
        "an image became a list",
        "a list of images",
        "a list became an image: its first",
        "an empty list",
        "the control has another name now",
        "a pair of tags now",
        "two images, two controls",
        "one of them is new in the config",
    ],
)
def test_annotation_counts_as_far_as_the_config_still_fits(
    xml: str, images: Any, expected: list[tuple[str, list[str]]]
) -> None:
    """Boxes of removed controls are left out, and no box is compared with those of another image."""
    facts = annotation(box("Kite"), box("Balloon", item=1), images=images)
    found = [
        (image.control.from_name, [each.label for each in image.drawn])
        for image in matched_images(facts, postprocessor_of(xml))
    ]
    assert found == expected


def region(label: str, edges: Edges, number: str) -> LabelledBox:
    """Return a box of a region."""
    return LabelledBox("label", 0, label, edges, region=number)


@pytest.mark.parametrize(
    ("tiles", "outcomes", "why"),
    [(0, ["not found"], "what is seen in tiles only is not found"), (2, ["found"], "a tile shows it"), (3, ["not found"], "other tiles")],
)  # fmt: skip
def test_control_is_evaluated_with_its_own_views(tiles: int, outcomes: list[str], why: str) -> None:
    """The record has the detections of all views; those count that the control shows now."""
    found = replace(detections_of(("Kite", 0.9, BOX)), views=("tiles2 1.1",))
    postprocessor = Postprocessor.from_label_config(BALLOON_CONFIG, score_threshold=0.3, tiles=tiles)
    (image,) = matched_images(annotation(box("Kite", BOX), images=seen(found)), postprocessor)
    assert classify_drawn(image) == outcomes, why


@pytest.mark.parametrize(
    ("shown", "drawn", "outcomes", "drawn_outcomes", "edits"),
    [
        pytest.param(
            [region("Kite", BOX, "a")], [region("Kite", AWAY, "a")], ["nudged"], ["not found"], {"nudged": 1},
            id="moved to another object: one edit, and no box was right",
        ),
        pytest.param(
            [region("Kite", BOX, "a")], [region("Box", AWAY, "a")], ["relabeled"], ["other label"], {"relabeled": 1},
            id="relabeled and moved off",
        ),
        pytest.param(
            [region("Kite", BOX, "a")], [region("Kite", BOX, "b")], ["kept"], ["found"], {},
            id="deleted and drawn again: by overlap",
        ),
        pytest.param(
            [region("Kite", BOX, "a"), region("Kite", AWAY, "b")],
            [region("Kite", AWAY, "a"), region("Kite", BOX, "b")],
            ["nudged", "nudged"], ["not found", "not found"], {"nudged": 2},
            id="two changed places",
        ),
        pytest.param(
            [region("Kite", BOX, "a")], [region("Box", BOX, "b"), region("Kite", MOVED, "a")],
            ["nudged"], ["not found", "found"], {"nudged": 1, "added": 1},
            id="a better overlap of another region does not count",
        ),
        pytest.param(
            [region("Kite", BOX, "a"), region("Box", BOX, "a")], [region("Box", BOX, "a"), region("Kite", BOX, "a")],
            ["kept", "kept"], ["found", "found"], {},
            id="one region with two labels",
        ),
        pytest.param(
            [region("Kite", BOX, "a")], [region("Kite", BOX, "a"), region("Box", BOX, "a")],
            ["kept"], ["found", "not found"], {"added": 1},
            id="a second label was given",
        ),
        pytest.param(
            [region("Kite", BOX, "")], [region("Kite", AWAY, "")], ["deleted"], ["not found"], {"deleted": 1, "added": 1},
            id="regions without ids",
        ),
    ],
)  # fmt: skip
def test_region_id_decides_before_overlap(
    shown: list[LabelledBox],
    drawn: list[LabelledBox],
    outcomes: list[str],
    drawn_outcomes: list[str],
    edits: dict[str, int],
) -> None:
    """Label Studio keeps the id of a predicted region while people move and rename it."""
    image = image_of([], drawn, shown)
    assert classify_shown(image) == outcomes
    assert classify_drawn(image) == drawn_outcomes
    assert +count_edits(image, classify_shown(image)) == edits


@pytest.mark.parametrize(
    ("drawable", "expected"),
    [
        pytest.param({"label": ("Kite", "Balloon", "Box")}, [("label", ["Kite", "Balloon"])], id="all labels"),
        pytest.param({"label": ("Kite",)}, [("label", ["Kite"])], id="Balloon came later"),
        pytest.param({"label": ("Kite", "Gone")}, [("label", ["Kite"])], id="and another label has gone"),
        pytest.param({"other": ("Kite",)}, [], id="its control is gone"),
        pytest.param({"label": ("Gone",)}, [], id="all of its labels are gone"),
    ],
)
def test_annotation_is_evaluated_with_the_labels_of_its_time(
    drawable: dict[str, tuple[str, ...]], expected: list[tuple[str, list[str]]]
) -> None:
    """A detection under a label that could not be drawn is no wrong box."""
    found = detections_of(("Kite", 0.9, BOX), ("Balloon", 0.8, AWAY))
    facts = annotation(box("Kite"), images=seen(found), drawable=drawable)
    found_outcomes = [
        (image.control.from_name, [each.label for each in image.shown])
        for image in matched_images(facts, postprocessor_of())
    ]
    assert found_outcomes == expected


def test_class_goes_to_the_label_of_its_time() -> None:
    """A new label that takes a class over does not take it from annotations that could not use it."""
    people = [("Person", BOX), ("Man", AWAY)]
    found = detections_of(*((name, 0.9, edges) for name, edges in people))
    facts = annotation(box("Person", BOX), box("Person", AWAY), images=seen(found), drawable={"label": ("Person",)})
    config = PEOPLE_CONFIG.replace("Worker", "Man")
    (image,) = matched_images(facts, postprocessor_of(config))
    assert classify_drawn(image) == ["found", "found"]
    now = annotation(images=seen(found), drawable={"label": ("Person", "Clothing", "Man")})
    assert [each.label for image in matched_images(now, postprocessor_of(config)) for each in image.shown] == [
        "Person",
        "Man",
    ]


KITE, FIRST = box("Kite"), box("Balloon")


@pytest.mark.parametrize(
    ("shown", "drawn", "outcomes", "edits"),
    [
        ([], [], [], {}),
        ([KITE], [KITE], ["kept"], {}),
        ([KITE], [box("Kite", NEARLY)], ["kept"], {}),
        ([KITE], [box("Kite", MOVED)], ["nudged"], {"nudged": 1}),
        ([KITE], [FIRST], ["relabeled"], {"relabeled": 1}),
        ([KITE], [box("Balloon", MOVED)], ["relabeled"], {"relabeled": 1}),
        ([KITE], [box("", BOX)], ["relabeled"], {"relabeled": 1}),
        ([KITE], [box("Gone", BOX)], ["relabeled"], {"relabeled": 1}),
        ([box("")], [box("")], ["kept"], {}),
        ([KITE], [], ["deleted"], {"deleted": 1}),
        ([KITE], [box("Kite", LESS)], ["deleted"], {"deleted": 1, "added": 1}),
        ([KITE], [box("Kite", AWAY)], ["deleted"], {"deleted": 1, "added": 1}),
        ([], [KITE], [], {"added": 1}),
        ([KITE, KITE], [KITE], ["kept", "deleted"], {"deleted": 1}),
        ([KITE], [KITE, KITE], ["kept"], {"added": 1}),
        ([KITE], [KITE, FIRST], ["kept"], {"added": 1}),
        ([KITE, FIRST], [FIRST, KITE], ["kept", "kept"], {}),
        ([KITE, FIRST], [FIRST], ["deleted", "kept"], {"deleted": 1}),
        ([KITE, FIRST], [box("Box")], ["relabeled", "deleted"], {"relabeled": 1, "deleted": 1}),
        ([box("Kite", (0.5, 0.5, 0.5, 0.5))], [box("Kite", (0.5, 0.5, 0.5, 0.5))], ["deleted"], {"deleted": 1, "added": 1}),
    ],
    ids=[
        "nothing",
        "kept",
        "a pixel more or less",
        "moved",
        "relabeled",
        "moved and relabeled",
        "label taken away",
        "a label that the config does not have",
        "without a label, as it was shown",
        "deleted",
        "moved too far",
        "drawn elsewhere",
        "added",
        "two shown on one object",
        "two drawn on one box",
        "a second label on one box",
        "order does not matter",
        "one of two in one place",
        "one of two relabeled",
        "boxes without area",
    ],
)  # fmt: skip
def test_each_shown_box_has_one_outcome(
    shown: list[LabelledBox], drawn: list[LabelledBox], outcomes: list[str], edits: dict[str, int]
) -> None:
    """And the annotator's edits follow from them."""
    image = image_of([], drawn, shown)
    found_outcomes = classify_shown(image)
    assert (found_outcomes, dict(+count_edits(image, found_outcomes))) == (outcomes, edits)


def test_person_and_clothing_in_one_place_keep_their_labels() -> None:
    """Although each was drawn nearer to where the other was shown."""
    shown = [box("Person", BOX), box("Clothing", NEARLY)]
    image = image_of([], [box("Clothing", BOX), box("Person", NEARLY)], shown, PEOPLE_CONFIG)
    assert classify_shown(image) == ["kept", "kept"]
    assert classify_drawn(image) == ["found", "found"]


@pytest.mark.parametrize(
    ("found", "drawn", "shown", "outcomes"),
    [
        ([], [], None, []),
        ([], [KITE], None, ["not found"]),
        ([], [KITE], [KITE], ["found"]),
        ([("Kite", 0.9, BOX)], [KITE], [KITE], ["found"]),
        ([("Kite", 0.9, BOX)], [KITE], None, ["found"]),
        ([("Kite", 0.9, BOX)], [box("Kite", MOVED)], [KITE], ["found"]),
        ([("Kite", 0.9, BOX)], [KITE], [], ["hidden"]),
        ([("Kite", 0.2, BOX)], [KITE], None, ["hidden"]),
        ([("Kite", 0.001, BOX)], [KITE], None, ["hidden"]),
        ([("Kite", 0.9, BOX)], [box("Kite", LESS)], [KITE], ["not found"]),
        ([("Balloon", 0.9, BOX)], [KITE], [FIRST], ["other label"]),
        ([("Balloon", 0.9, BOX)], [KITE], [], ["other label"]),
        ([("Balloon", 0.2, BOX)], [KITE], None, ["other label"]),
        ([("Balloon", 0.04, BOX)], [KITE], None, ["not found"]),
        ([("Car", 0.9, BOX)], [KITE], None, ["other label"]),
        ([("Car", 0.04, BOX)], [KITE], None, ["not found"]),
        ([("Balloon", 0.9, BOX), ("Kite", 0.1, BOX)], [KITE], [FIRST], ["hidden"]),
        ([("Kite", 0.9, BOX)], [KITE, KITE], [KITE], ["found", "not found"]),
        ([("Kite", 0.9, BOX), ("Kite", 0.2, NEARLY)], [KITE, KITE], [KITE], ["found", "hidden"]),
        ([("Kite", 0.9, BOX), ("Kite", 0.8, BOX)], [KITE, KITE], [KITE], ["found", "not found"]),
        ([("Kite", 0.9, BOX)], [KITE, FIRST], [KITE], ["found", "not found"]),
        ([("Kite", 0.9, BOX)], [FIRST, KITE], [KITE], ["not found", "found"]),
        ([("Car", 0.9, BOX)], [box("Gone")], None, ["other label"]),
        ([("Kite", 0.9, BOX)], [box("")], [KITE], ["other label"]),
        ([("Car", 0.9, BOX)], [box("")], [box("")], ["found"]),
    ],
    ids=[
        "nothing",
        "not found",
        "shown, by a detector that finds it no more",
        "shown",
        "would be shown",
        "shown a little beside it",
        "found and not shown",
        "below the threshold",
        "far below the threshold",
        "found too far away",
        "shown under another label",
        "found under another label and not shown",
        "under another label, below the threshold",
        "under another label, hardly suspected",
        "as a class that the project lacks",
        "as such a class, hardly suspected",
        "found under its label counts before shown under another",
        "drawn twice, found once",
        "drawn twice, found twice",
        "drawn twice, and the other one is the same box",
        "two labels on one object that was found",
        "the same in the other order",
        "a label that the config does not have any more",
        "without a label, on a box that had one",
        "without a label, as it was shown",
    ],
)
def test_each_drawn_box_was_found_or_not(
    found: list[Row], drawn: list[LabelledBox], shown: list[LabelledBox] | None, outcomes: list[str]
) -> None:
    """One to one, the better reason first."""
    assert classify_drawn(image_of(found, drawn, shown)) == outcomes


def test_hidden_clothing_is_no_less_found_where_its_person_was_shown() -> None:
    """Two detections in exactly one place are two."""
    found: list[Row] = [("Person", 0.9, BOX), ("Clothing", 0.2, BOX)]
    image = image_of(found, [box("Person"), box("Clothing")], None, PEOPLE_CONFIG)
    assert classify_drawn(image) == ["found", "hidden"]


def test_one_detection_is_another_label_of_one_drawn_box() -> None:
    """Two labels on one object that was found once, under a third."""
    image = image_of([("Balloon", 0.9, BOX)], [KITE, box("Box")], [FIRST])
    assert sorted(classify_drawn(image)) == ["not found", "other label"]


@pytest.mark.parametrize(("score", "outcome"), [(0.9, "other label"), (0.01, "not found")])
def test_unlabelled_box_was_not_found_under_its_label(score: float, outcome: str) -> None:
    """Since it has none; ``hidden`` would mean that a threshold hides it."""
    assert classify_drawn(image_of([("Car", score, BOX)], [box("")], None)) == [outcome]


_edge = st.integers(0, 4).map(lambda each: each / 8)
_edges = st.tuples(_edge, _edge).map(lambda at: (at[0], at[1], at[0] + 0.375, at[1] + 0.375))
_label = st.sampled_from(["Kite", "Balloon", "Gone", ""])
_boxes = st.lists(st.builds(box, _label, _edges), max_size=3)
_rows = st.lists(st.tuples(st.sampled_from(["Kite", "Balloon", "Car"]), st.floats(0, 1, width=32), _edges), max_size=4)


@given(_rows, _boxes, st.none() | _boxes)
def test_both_sides_agree(
    found: list[tuple[str, float, Edges]], drawn: list[LabelledBox], shown: list[LabelledBox] | None
) -> None:
    """As many drawn boxes were found as shown ones stayed under their label, and the edits make the one list of the other."""
    image = image_of(found, drawn, shown)
    of_shown, of_drawn = classify_shown(image), classify_drawn(image)
    assert (len(of_shown), len(of_drawn)) == (len(image.shown), len(image.drawn))
    assert of_drawn.count("found") == of_shown.count("kept") + of_shown.count("nudged")
    edits = count_edits(image, of_shown)
    assert len(image.shown) - edits["deleted"] + edits["added"] == len(image.drawn)
    assert min(edits.values()) >= 0
