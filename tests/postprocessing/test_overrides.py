"""What corrections have taught, where the label config leaves it open."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from samples import BALLOON_CONFIG, Row, detections_of

from ml_backend.label_studio.controls.control import ImageField, Label
from ml_backend.label_studio.controls.rectangles import RectangleControl
from ml_backend.label_studio.regions import label_of, rectangles_in
from ml_backend.model_results import ModelResults
from ml_backend.postprocessing.label_map import LabelMap
from ml_backend.postprocessing.overrides import NO_OVERRIDES, LabelOverrides
from ml_backend.postprocessing.postprocessor import Postprocessor
from ml_backend.postprocessing.selection import as_score, select

BOX, NEARLY, AWAY = (0.1, 0.1, 0.5, 0.5), (0.1, 0.1, 0.5, 0.48), (0.6, 0.6, 0.9, 0.9)
KITE = ("label", "Kite")
PERSON, WORKER, VEHICLE = Label("Person", ("Person",)), Label("Worker", ("Worker",)), Label("Vehicle", ("Vehicle",))


def control_of(*labels: Label, **more: Any) -> RectangleControl:
    """Return a control with some labels."""
    return RectangleControl("label", "image", "image", labels, **more)


def postprocessor_of(xml: str = BALLOON_CONFIG, overrides: LabelOverrides = NO_OVERRIDES) -> Postprocessor:
    """Decide a policy for whatever detector, where the settings' threshold is 0.3."""
    return Postprocessor.from_label_config(xml, score_threshold=0.3, overrides=overrides)


def answered(postprocessor: Postprocessor, *rows: Row) -> list[str]:
    """Return the labels of what a policy answers."""
    prediction = postprocessor.predict(
        1, {ImageField("image", is_list=False): [ModelResults(detections_of(*rows))]}, "v"
    )
    return [label_of(region) for region in rectangles_in(prediction["result"])]


def with_attribute(attribute: str, *, of: str) -> str:
    """Return the config of balloons with an attribute of Kite, or of the control."""
    return BALLOON_CONFIG.replace(of, f"{of} {attribute}")


def single(overrides: Mapping[str, str]) -> LabelOverrides:
    """Return that classes go to labels of the control, each by itself."""
    return LabelOverrides.of({}, {("label", known): label for known, label in overrides.items()})


def branch(overrides: Mapping[str, str], classes: Mapping[str, str] | None = None) -> LabelOverrides:
    """Return that classes go to labels of the control with all below them, and some by themselves."""
    branches = {("label", known): label for known, label in overrides.items()}
    return LabelOverrides.of({}, {("label", known): label for known, label in (classes or {}).items()}, branches)


THE_LABEL, THE_CONTROL = '"Kite"', 'toName="image"'


def test_order_of_learning_does_not_matter() -> None:
    """Two ways to the same are the same, and have one hash."""
    classes, branches = {("a", "2"): "y", ("a", "1"): "x"}, {("b", "4"): "y", ("b", "3"): "x"}
    one = LabelOverrides.of({("b", "x"): 0.5, ("a", "y"): 0.4}, classes, branches)
    back, back_too = (dict(reversed(each.items())) for each in (classes, branches))
    other = LabelOverrides.of({("a", "y"): 0.4, ("b", "x"): 0.5}, back, back_too)
    assert one == other
    assert len({one, other}) == 1
    assert LabelOverrides.of({}) == LabelOverrides.of({}, None, None) == LabelOverrides.of({}, {}, {}) == NO_OVERRIDES
    assert LabelOverrides.of({}, classes) != LabelOverrides.of({}, None, classes)


@pytest.mark.parametrize(
    ("xml", "overrides", "shown"),
    [
        (BALLOON_CONFIG, NO_OVERRIDES, ["Kite", "Kite", "Balloon"]),
        (BALLOON_CONFIG, LabelOverrides.of({KITE: 0.7}), ["Kite", "Balloon"]),
        (BALLOON_CONFIG, LabelOverrides.of({KITE: 0.1}), ["Kite", "Kite", "Kite", "Balloon"]),
        (BALLOON_CONFIG, LabelOverrides.of({("other", "Kite"): 0.7}), ["Kite", "Kite", "Balloon"]),
        (BALLOON_CONFIG, LabelOverrides.of({("label", "Gone"): 0.7}), ["Kite", "Kite", "Balloon"]),
        (BALLOON_CONFIG, LabelOverrides.of({("label", "kite"): 0.7}), ["Kite", "Kite", "Balloon"]),
        (with_attribute('model_score_threshold="0.1"', of=THE_LABEL), LabelOverrides.of({KITE: 0.7}), ["Kite", "Kite", "Kite", "Balloon"]),
        (with_attribute('model_score_threshold="0.1"', of=THE_CONTROL), LabelOverrides.of({KITE: 0.7}), ["Kite", "Kite", "Kite", "Balloon"]),
        (with_attribute('model_score_threshold="0"', of=THE_LABEL), LabelOverrides.of({KITE: 0.7}), ["Kite", "Kite", "Kite", "Balloon"]),
        (with_attribute('model_skip="true"', of=THE_LABEL), LabelOverrides.of({KITE: 0.0}), ["Balloon"]),
    ],
    ids=[
        "nothing learned",
        "raised",
        "lowered",
        "of another control",
        "of a label that is gone",
        "labels are told apart by case",
        "the label's own wins",
        "the control's own wins",
        "also one of nothing",
        "skipped labels stay skipped",
    ],
)  # fmt: skip
def test_learned_threshold_counts_where_the_config_says_none(
    xml: str, overrides: LabelOverrides, shown: list[str]
) -> None:
    """Three Kites of 0.9, 0.5 and 0.2, and a Balloon of 0.5."""
    rows: list[Row] = [
        ("Kite", 0.9, BOX),
        ("Kite", 0.5, AWAY),
        ("Kite", 0.2, (0.6, 0.1, 0.9, 0.4)),
        ("Balloon", 0.5, (0.1, 0.6, 0.4, 0.9)),
    ]
    assert sorted(answered(postprocessor_of(xml, overrides), *rows)) == sorted(shown)


def test_control_is_left_as_it_is_where_nothing_was_learned_of_it() -> None:
    """The same object, and no learned value in a label of another control."""
    control = control_of(PERSON)
    assert NO_OVERRIDES.applied_to(control, 0.3) is control
    assert LabelOverrides.of({("other", "Person"): 0.5}).applied_to(control, 0.3) is control
    assert LabelOverrides.of({("label", "Person"): 0.3}).applied_to(control, 0.3) is control
    assert LabelOverrides.of({("label", "Person"): 0.5}).applied_to(control, 0.3) != control
    skipped = control_of(PERSON, skip=True)
    assert LabelOverrides.of({("label", "Person"): 0.5}).applied_to(skipped, 0.3) is skipped
    assert control.labels[0].score_threshold is None


@pytest.mark.parametrize(
    ("labels", "overrides", "name", "mid", "expected"),
    [
        ([PERSON, WORKER], {}, "Person", "/m/01g317", ("Person", "name")),
        ([PERSON, WORKER], {"Person": "Worker"}, "Person", "/m/01g317", ("Worker", "corrections")),
        ([PERSON, WORKER], {"/m/01g317": "Worker"}, "Person", "/m/01g317", ("Worker", "corrections")),
        ([PERSON, WORKER], {"/m/01g317": "Worker"}, "Person", "", ("Worker", "corrections")),
        ([PERSON, WORKER], {"PERSON": "Worker"}, "Person", "", ("Worker", "corrections")),
        ([PERSON, WORKER], {"Person": "Gone"}, "Person", "", ("Person", "name")),
        ([PERSON, WORKER], {"Person": "worker"}, "Person", "", ("Person", "name")),
        ([PERSON, WORKER], {"Person": ""}, "Person", "", ("Person", "name")),
        ([PERSON, WORKER], {"/m/unheard": "Worker"}, "Person", "", ("Person", "name")),
        ([Label("Person", ("Person",), ("Person",)), WORKER], {"Person": "Worker"}, "Person", "", ("Person", "predicted_values")),
        ([Label("Person", ("Person",), ("/m/01g317",)), WORKER], {"Person": "Worker"}, "Person", "", ("Person", "predicted_values")),
        ([WORKER], {"Person": "Worker"}, "Person", "", ("Worker", "corrections")),
        ([WORKER], {"Person": "Worker"}, "Man", "", None),
        ([PERSON, WORKER], {"Person": "Worker"}, "Man", "", ("Person", "hierarchy")),
        ([PERSON, WORKER], {"Man": "Worker"}, "Person", "", ("Person", "name")),
        ([PERSON, WORKER], {"Man": "Worker"}, "Woman", "", ("Person", "hierarchy")),
        ([VEHICLE, WORKER], {"Taxi": "Worker"}, "Taxi", "", ("Worker", "corrections")),
        ([VEHICLE, WORKER], {"Taxi": "Worker"}, "Car", "", ("Vehicle", "hierarchy")),
        ([Label("human", ("human",)), WORKER], {"Person": "Worker"}, "Person", "", ("Worker", "corrections")),
        ([WORKER], {"papalote": "Worker"}, "Papalote", "", ("Worker", "corrections")),
        ([WORKER], {"/m/unheard": "Worker"}, "Papalote", "/m/unheard", ("Worker", "corrections")),
        ([Label("papalote", ("papalote",)), WORKER], {"papalote": "Worker"}, "papalote", "", ("Worker", "corrections")),
        ([Label("Helper", ("Helper", "Worker"))], {"Person": "Worker"}, "Person", "", None),
        ([WORKER], {"<b>\ud800": "Worker"}, "Person", "", None),
    ],
    ids=[
        "nothing learned",
        "by name",
        "by MID",
        "by MID, of a detector without MIDs",
        "in another case",
        "to a label that is gone",
        "to a label in another case",
        "to no label",
        "of a class that nobody has heard of",
        "predicted_values win",
        "predicted_values win by MID",
        "of a class that went nowhere",
        "classes below it do not come along",
        "and stay where they were",
        "the class above it does not",
        "nor the one beside it",
        "out of a label above it",
        "and that keeps the others",
        "before a synonym",
        "a class of the detector's own",
        "a MID of the detector's own",
        "a class of the detector's own that has a label of its name",
        "by a name that is not the label's value",
        "a name with whatever in it",
    ],
)  # fmt: skip
def test_learned_classes_come_after_predicted_values_and_before_names(
    labels: list[Label], overrides: dict[str, str], name: str, mid: str, expected: tuple[str, str] | None
) -> None:
    """Where they lead to a label that is there."""
    found = LabelMap(control_of(*labels), overrides=single(overrides)).assignment(name, mid)
    assert (found and (found.label.value, found.rule)) == expected


ANIMAL, DOG = Label("Animal", ("Animal",)), Label("Dog", ("Dog",))
STOCK, PET = Label("Stock", ("Stock",)), Label("Pet", ("Pet",))


@pytest.mark.parametrize(
    ("labels", "overrides", "name", "expected"),
    [
        ([STOCK], branch({"Mammal": "Stock"}), "Mammal", ("Stock", "corrections")),
        ([STOCK], branch({"Mammal": "Stock"}), "Horse", ("Stock", "hierarchy")),
        ([STOCK], branch({"/m/04rky": "Stock"}), "Dog", ("Stock", "hierarchy")),
        ([STOCK], branch({"Mammal": "Stock"}), "Animal", None),
        ([STOCK], branch({"Mammal": "Stock"}), "Eagle", None),
        ([STOCK, PET], branch({"Mammal": "Stock"}, {"Dog": "Pet"}), "Dog", ("Pet", "corrections")),
        ([STOCK, PET], branch({"Mammal": "Stock"}, {"Dog": "Pet"}), "Cat", ("Stock", "hierarchy")),
        ([STOCK, PET], branch({"Mammal": "Stock"}, {"Carnivore": "Pet"}), "Dog", ("Stock", "hierarchy")),
        ([STOCK, PET], branch({"Mammal": "Stock"}, {"Mammal": "Pet"}), "Mammal", ("Pet", "corrections")),
        ([STOCK, PET], branch({"Mammal": "Stock"}, {"Mammal": "Pet"}), "Dog", ("Stock", "hierarchy")),
        ([STOCK, PET], branch({"Mammal": "Stock"}, {"Dog": "Gone"}), "Dog", ("Stock", "hierarchy")),
        ([STOCK, PET], branch({"Mammal": "Stock", "Carnivore": "Pet"}), "Dog", ("Pet", "hierarchy")),
        ([STOCK, PET], branch({"Mammal": "Stock", "Carnivore": "Pet"}), "Horse", ("Stock", "hierarchy")),
        ([STOCK, ANIMAL], branch({"Animal": "Stock"}), "Animal", ("Stock", "corrections")),
        ([STOCK, ANIMAL], branch({"Animal": "Stock"}), "Dog", ("Stock", "hierarchy")),
        ([STOCK, ANIMAL], branch({"Mammal": "Stock"}), "Dog", ("Stock", "hierarchy")),
        ([STOCK, ANIMAL], branch({"Mammal": "Stock"}), "Eagle", ("Animal", "hierarchy")),
        ([STOCK, DOG], branch({"Mammal": "Stock"}), "Dog", ("Dog", "name")),
        ([STOCK, Label("puppy", ("puppy", "Dog"))], branch({"Mammal": "Stock"}), "Dog", ("puppy", "name")),
        ([STOCK, Label("human", ("human",))], branch({"Person": "Stock"}), "Person", ("Stock", "corrections")),
        ([STOCK, Label("Animal", ("Animal",), ("Mammal",))], branch({"Mammal": "Stock"}), "Mammal", ("Animal", "predicted_values")),
        ([STOCK, Label("Animal", ("Animal",), ("Mammal",))], branch({"Mammal": "Stock"}), "Dog", ("Animal", "hierarchy")),
        ([STOCK, Label("Pet", ("Pet",), ("Dog",))], branch({"Mammal": "Stock"}), "Dog", ("Pet", "predicted_values")),
        ([STOCK], branch({"Mammal": "Gone"}), "Dog", None),
        ([STOCK], branch({"Mammal": "stock"}), "Dog", None),
        ([STOCK], branch({"nothing": "Stock"}), "Dog", None),
        ([STOCK], branch({"papalote": "Stock"}), "papalote", ("Stock", "corrections")),
        ([Label("Stock", ("Stock",), hierarchy=False)], branch({"Mammal": "Stock"}), "Mammal", ("Stock", "corrections")),
        ([Label("Stock", ("Stock",), hierarchy=False)], branch({"Mammal": "Stock"}), "Dog", None),
        ([Label("Stock", ("Stock",), hierarchy=False), ANIMAL], branch({"Mammal": "Stock"}), "Dog", ("Animal", "hierarchy")),
    ],
    ids=[
        "the class itself",
        "a class below",
        "two below, by MID",
        "the class above does not come along",
        "nor one beside it",
        "a single class within it goes elsewhere",
        "and takes none along",
        "nor what is below it",
        "the class itself goes elsewhere by itself",
        "and what is below it stays",
        "a single class to a label that is gone",
        "a branch within it",
        "and what is beside that",
        "a label's own name",
        "and what is below that",
        "below a label's own name",
        "and what is beside that keeps its label",
        "a label called like a class below keeps it",
        "also by its alias",
        "before a synonym",
        "predicted_values win",
        "and take along what is below",
        "predicted_values of a class below win",
        "to a label that is gone",
        "to a label in another case",
        "of a class that nobody has heard of",
        "of the detector's own class",
        "hierarchy off on the label: the class itself",
        "hierarchy off on the label: none below",
        "hierarchy off on the label: the next one up",
    ],
)  # fmt: skip
def test_learned_branches_count_as_if_the_label_were_called_so(
    labels: list[Label], overrides: LabelOverrides, name: str, expected: tuple[str, str] | None
) -> None:
    """After predicted_values and before names; what is below comes along, unless something nearer decides."""
    found = LabelMap(control_of(*labels), overrides=overrides).assignment(name, "")
    assert (found and (found.label.value, found.rule)) == expected


def test_branch_is_its_class_alone_where_the_control_has_no_hierarchy() -> None:
    """``model_hierarchy="false"``."""
    label_map = LabelMap(control_of(STOCK, hierarchy=False), overrides=branch({"Mammal": "Stock"}))
    assert [label_map.label_for(name, "") for name in ("Mammal", "Dog")] == ["Stock", None]


def test_corrected_classes_are_those_that_corrections_decide() -> None:
    """By MID, or by folded name; not those that came along, nor those that went there anyway."""
    overrides = branch({"Mammal": "Stock", "Gone": "Gone"}, {"Dog": "Pet", "Horse": "Stock", "Pa palote": "Pet"})
    expected = {"/m/04rky": "Stock", "/m/0bt9lr": "Pet", "papalote": "Pet"}
    assert LabelMap(control_of(STOCK, PET), overrides=overrides).corrected() == expected


@pytest.mark.parametrize(
    "overrides", [NO_OVERRIDES, LabelOverrides.of({KITE: 0.1}, {("a", "\ud800"): "b"}, {("c", "d"): "<e>"})]
)
def test_learned_is_read_back_as_it_was(overrides: LabelOverrides) -> None:
    """Through JSON, as revisions are kept."""
    assert LabelOverrides.from_json(json.loads(json.dumps(overrides.to_json()))) == overrides


def test_class_without_a_name_takes_no_others_along() -> None:
    """A detector gives the empty name and the empty MID to numbers that its class list lacks."""
    overrides = LabelMap(control_of(PERSON, WORKER), overrides=single({"": "Worker"}))
    assert [overrides.label_for("Person", mid) for mid in ("/m/01g317", "")] == ["Person", "Person"]


@pytest.mark.parametrize(
    ("class_threshold", "score", "shown"),
    [(0.0, 0.3, True), (0.5, 0.49, False), (0.5, 0.5, True), (0.1, 0.29, False)],
    ids=["none", "below that of the class", "at that of the class", "below that of the label"],
)
def test_class_has_a_threshold_of_its_own(class_threshold: float, score: float, shown: bool) -> None:
    """The higher one of class and label counts, for this class alone."""
    which = ("label", "Robot")
    overrides = LabelOverrides.of({}, {which: "Kite"}, class_thresholds={which: class_threshold})
    assert answered(postprocessor_of(overrides=overrides), ("Robot", score, BOX)) == ["Kite"] * shown
    assert answered(postprocessor_of(overrides=overrides), ("Kite", 0.3, BOX)) == ["Kite"]


def test_threshold_of_a_class_changes_the_digest() -> None:
    """Since it changes predictions."""
    which = ("label", "Robot")
    digests = {
        postprocessor_of(overrides=LabelOverrides.of({}, {which: "Kite"}, class_thresholds=thresholds)).digest
        for thresholds in ({}, {which: 0.5}, {which: 0.6})
    }
    assert len(digests) == 3


def test_revision_of_an_older_version_is_read() -> None:
    """It has no thresholds of classes; and one without them is written as it was."""
    values = {"thresholds": [], "classes": [["label", "Robot", "Kite"]], "branches": []}
    overrides = LabelOverrides.from_json(values)
    assert overrides.class_thresholds == ()
    assert overrides.to_json().keys() == values.keys()


def test_classes_are_of_their_control() -> None:
    """Two controls may have a label of the same name."""
    overrides = LabelOverrides.of({}, {("label", "Person"): "Worker", ("other", "Person"): "Helper"})
    assert overrides.classes_of(control_of(WORKER)) == {"Person": "Worker"}
    assert NO_OVERRIDES.classes_of(control_of(WORKER)) == NO_OVERRIDES.branches_of(control_of(WORKER)) == {}
    branches = LabelOverrides.of({}, {}, {("label", "Person"): "Worker", ("other", "Person"): "Helper"})
    assert branches.branches_of(control_of(WORKER)) == {"Person": "Worker"}
    assert branches.classes_of(control_of(WORKER)) == {}


def test_skipped_label_gets_no_learned_boxes() -> None:
    """It keeps its classes from the others all the same."""
    control = control_of(PERSON, Label("Worker", ("Worker",), skip=True))
    (decision,) = select(
        detections_of(("Person", 0.9, BOX)), control, LabelMap(control, overrides=single({"Person": "Worker"})), 0.3
    )
    assert decision.kind == "skipped"


@pytest.mark.parametrize(
    ("control", "expected"),
    [
        ({}, ["kept", "suppressed", "kept", "kept"]),
        ({"score_threshold": 0.95}, ["kept", "suppressed", "kept", "kept"]),
        ({"max_regions": 1}, ["kept", "suppressed", "kept", "kept"]),
        ({"min_area": 10}, ["kept", "suppressed", "too small", "kept"]),
        ({"nms_iou": 1.0}, ["kept", "kept", "kept", "kept"]),
        ({"skip": True}, ["skipped"] * 4),
    ],
    ids=[
        "as it is",
        "whatever the control's threshold",
        "whatever its limit",
        "size counts",
        "overlap counts",
        "skipped",
    ],
)
def test_who_chooses_a_threshold_afterwards_sees_every_score(control: dict[str, Any], expected: list[str]) -> None:
    """With a default of None no score is too low and no box is over the limit; a label's threshold does not count either."""
    tag = control_of(Label("Person", ("Person",), score_threshold=0.99), VEHICLE, **control)
    found = detections_of(("Person", 0.9, BOX), ("Person", 0.4, NEARLY), ("Person", 0.0, AWAY), ("Car", 0.01, BOX))
    assert [decision.kind for decision in select(found, tag, LabelMap(tag), None)] == expected


_place = st.integers(0, 3).map(lambda each: each / 8)
_edges = st.tuples(_place, _place).map(lambda at: (at[0], at[1], at[0] + 0.5, at[1] + 0.5))
_rows = st.lists(
    st.tuples(st.sampled_from(["Person", "Car", "Taxi", "Wheel"]), st.floats(0, 1, width=32), _edges), max_size=8
)


@given(_rows, st.floats(0, 1))
@example([("Car", 0.7, BOX)], 0.7)
def test_threshold_chosen_afterwards_shows_what_it_would_have_shown(rows: list[Row], threshold: float) -> None:
    """Since a box is only ever suppressed by a better one."""
    tag = control_of(PERSON, VEHICLE)
    found = detections_of(*rows)

    def kept(default: float | None) -> set[int]:
        decisions = select(found, tag, LabelMap(tag), default)
        return {
            each.row
            for each in decisions
            if each.kind == "kept" and found.scores[each.row].item() >= as_score(threshold)
        }

    assert kept(None) == kept(threshold)


@pytest.mark.parametrize(
    "overrides",
    [
        LabelOverrides.of({KITE: 0.31}),
        LabelOverrides.of({KITE: 0.0}),
        LabelOverrides.of({}, {("label", "Car"): "Kite"}),
        LabelOverrides.of({}, {("label", "/m/0k4j"): "Kite"}),
        LabelOverrides.of({}, {("label", "Kite"): "Balloon"}),
        LabelOverrides.of({}, {("label", "papalote"): "Kite"}),
        LabelOverrides.of({}, {}, {("label", "Car"): "Kite"}),
        LabelOverrides.of({}, {}, {("label", "Vehicle"): "Kite"}),
        LabelOverrides.of({}, {}, {("label", "papalote"): "Kite"}),
    ],
    ids=["threshold", "a threshold of nothing", "class", "class by MID", "class of another label", "class of the detector's own", "branch", "class above", "branch of the detector's own"],
)  # fmt: skip
def test_digest_changes_when_answers_could(overrides: LabelOverrides) -> None:
    """Label Studio then asks again, and a proposal is something to apply."""
    rows: list[Row] = [
        ("Kite", 0.3, BOX),
        ("Kite", 0.2, AWAY),
        ("Car", 0.9, (0, 0.6, 0.3, 0.9)),
        ("papalote", 0.9, (0.6, 0, 0.9, 0.3)),
    ]
    assert answered(postprocessor_of(overrides=overrides), *rows) != answered(postprocessor_of(), *rows)
    assert postprocessor_of(overrides=overrides).digest != postprocessor_of().digest


@pytest.mark.parametrize(
    ("xml", "overrides"),
    [
        (BALLOON_CONFIG, NO_OVERRIDES),
        (BALLOON_CONFIG, LabelOverrides.of({("label", "Gone"): 0.7, ("gone", "Kite"): 0.7})),
        (BALLOON_CONFIG, LabelOverrides.of({("label", "<b>\ud800"): 0.7}, {("label", "<b>"): "\ud800"})),
        (BALLOON_CONFIG, LabelOverrides.of({}, {("label", "Car"): "Gone", ("gone", "Car"): "Kite"})),
        (BALLOON_CONFIG, LabelOverrides.of({}, {("label", "Kite"): "Kite"})),
        (with_attribute('model_score_threshold="0.5"', of=THE_LABEL), LabelOverrides.of({KITE: 0.7})),
        (with_attribute('model_score_threshold="0.5"', of=THE_CONTROL), LabelOverrides.of({KITE: 0.7})),
        (with_attribute('predicted_values="Car"', of=THE_LABEL), LabelOverrides.of({}, {("label", "Car"): "Balloon"})),
        (BALLOON_CONFIG, LabelOverrides.of({KITE: 0.3})),
        (with_attribute('model_skip="true"', of=THE_LABEL), LabelOverrides.of({KITE: 0.7})),
        (with_attribute('model_skip="true"', of=THE_CONTROL), LabelOverrides.of({KITE: 0.7})),
        (BALLOON_CONFIG, LabelOverrides.of({}, {}, {("label", "Car"): "Gone", ("gone", "Car"): "Kite"})),
        (
            with_attribute('predicted_values="Car"', of=THE_LABEL),
            LabelOverrides.of({}, {}, {("label", "Car"): "Balloon"}),
        ),
    ],
    ids=[
        "nothing",
        "thresholds of what is gone",
        "labels with whatever in them",
        "classes of what is gone",
        "a class that goes there already",
        "the label's own threshold wins",
        "the control's own threshold wins",
        "predicted_values win",
        "the threshold that it has already",
        "the threshold of a skipped label",
        "thresholds of a skipped control",
        "branches of what is gone",
        "predicted_values win over branches",
    ],
)
def test_digest_stays_where_answers_cannot_change(xml: str, overrides: LabelOverrides) -> None:
    """Nothing is asked again for it."""
    assert postprocessor_of(xml, overrides).digest == postprocessor_of(xml).digest
    assert postprocessor_of(xml, overrides).warnings == postprocessor_of(xml).warnings


def test_learned_class_reaches_a_label_that_the_detector_would_not_know() -> None:
    """Which is then none to warn of."""
    from ml_backend.vocabularies.open_images import open_images_classes

    xml = BALLOON_CONFIG.replace('"Kite"', '"Drachen"')
    warnings = [
        Postprocessor.from_label_config(
            xml,
            score_threshold=0.3,
            classes={"detector": open_images_classes().classes()},
            overrides=LabelOverrides.of({}, classes),
        ).warnings
        for classes in ({}, {("label", "Kite"): "Drachen"})
    ]
    assert [len(each) for each in warnings] == [1, 0]
