import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_backend.errors import LabelConfigError
from ml_backend.label_studio.controls.control import Label
from ml_backend.label_studio.controls.rectangles import RectangleControl
from ml_backend.postprocessing.label_map import LabelMap
from ml_backend.vocabularies.class_list import fold
from ml_backend.vocabularies.open_images import open_images_classes
from ml_backend.vocabularies.synonyms import SYNONYMS

CLASSES = open_images_classes()


def label(value: str, *predicted: str, alias: str = "", hierarchy: bool = True) -> Label:
    """Return a label as the config reader makes it."""
    return Label(alias or value, tuple(filter(None, (value, alias))), predicted, hierarchy=hierarchy)


def label_map(*labels: Label, hierarchy: bool = True) -> LabelMap:
    """Return the map of a control with some labels."""
    return LabelMap(RectangleControl("label", "image", "image", labels, hierarchy=hierarchy))


@pytest.mark.parametrize(
    ("labels", "name", "mid", "expected"),
    [
        ([label("Car")], "Car", "/m/0k4j", ("Car", "name")),
        ([label("car")], "Car", "/m/0k4j", ("car", "name")),
        ([label("CAR")], "Car", "", ("CAR", "name")),
        ([label("traffic_light")], "Traffic light", "", ("traffic_light", "name")),
        ([label("TrafficLight")], "Traffic light", "", ("TrafficLight", "name")),
        ([label("/m/0k4j")], "Car", "/m/0k4j", ("/m/0k4j", "name")),
        ([label("Auto", alias="car")], "Car", "", ("car", "name")),
        ([label("Mine", "Car", "Taxi")], "Taxi", "", ("Mine", "predicted_values")),
        ([label("Mine", "/m/0k4j")], "Car", "/m/0k4j", ("Mine", "predicted_values")),
        ([label("Mine", "traffic_LIGHT")], "Traffic light", "", ("Mine", "predicted_values")),
        ([label("Car"), label("Mine", "Car")], "Car", "", ("Mine", "predicted_values")),
        ([label("car"), label("Car")], "Car", "", ("Car", "name")),
        ([label("car"), label("CAR")], "Car", "", ("car", "name")),
        ([label("human")], "Person", "", ("human", "synonym")),
        ([label("License_Plate")], "Vehicle registration plate", "", ("License_Plate", "synonym")),
        ([label("human"), label("Person")], "Person", "", ("Person", "name")),
        ([label("Vehicle")], "Taxi", "", ("Vehicle", "hierarchy")),
        ([label("Vehicle"), label("Land vehicle")], "Taxi", "", ("Land vehicle", "hierarchy")),
        ([label("Land vehicle"), label("Vehicle")], "Taxi", "", ("Land vehicle", "hierarchy")),
        ([label("Food"), label("Vegetable")], "Tomato", "", ("Vegetable", "hierarchy")),
        ([label("Fruit"), label("Vegetable")], "Tomato", "", ("Fruit", "hierarchy")),
        ([label("Vegetable"), label("Fruit")], "Tomato", "", ("Vegetable", "hierarchy")),
        ([label("human")], "Man", "", ("human", "hierarchy")),
        ([label("Mine", "Mammal")], "Dog", "", ("Mine", "hierarchy")),
        ([label("Mammal", hierarchy=False), label("Animal")], "Dog", "", ("Animal", "hierarchy")),
        ([label("Mammal", hierarchy=False)], "Dog", "", None),
        ([label("Car")], "Wheel", "", None),
        ([label("Person")], "Car", "/m/0k4j", None),
        ([label("Taxi")], "Vehicle", "", None),
        ([label("Cars")], "Car", "", None),
        ([label("Person")], "", "", None),
        ([label("Helmet")], "helmet", "", ("Helmet", "name")),
        ([label("Mine", "/m/unheard")], "Helmet", "/m/unheard", ("Mine", "predicted_values")),
        ([label("Car")], "Auto", "/m/0k4j", ("Car", "name")),
    ],
    ids=[
        "exact",
        "other case",
        "capitals",
        "underscore for space",
        "no space",
        "label is a MID",
        "alias is a name, and the value",
        "predicted value",
        "predicted MID",
        "predicted value, folded",
        "predicted before equal name",
        "exact before folded",
        "first of two folded",
        "synonym",
        "synonym, folded",
        "name before synonym",
        "two steps up",
        "nearest ancestor wins",
        "nearest ancestor wins, other order",
        "nearer of two ways up",
        "two parents: first in the config",
        "two parents: first in the config, other order",
        "below a synonym",
        "below a predicted value",
        "switched off on a label: the next one up",
        "switched off on the only label",
        "a part is no kind",
        "another class",
        "never downwards",
        "no fuzzy guess",
        "class without name and MID",
        "a class of the detector's own",
        "a MID of the detector's own",
        "the MID decides over the name",
    ],
)
def test_rules_in_their_order(labels: list[Label], name: str, mid: str, expected: tuple[str, str] | None) -> None:
    """Predicted values, then names and synonyms, then the hierarchy."""
    found = label_map(*labels).assignment(name, mid)
    assert (found and (found.label.value, found.rule)) == expected


def test_hierarchy_can_be_switched_off_for_a_control() -> None:
    """Then labels take only what is called like them."""
    assert label_map(label("Vehicle"), hierarchy=False).label_for("Taxi", "") is None
    assert label_map(label("Vehicle"), hierarchy=False).label_for("Vehicle", "") == "Vehicle"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (label("A", "Car"), label("B", "car")),
        (label("A", "/m/0k4j"), label("B", "Car")),
        (label("A", "X"), label("B", "x")),
    ],
    ids=["name twice", "MID and name", "a class of the detector's own"],
)
def test_class_claimed_twice_is_an_error_that_names_both(one: Label, other: Label) -> None:
    """Whichever came first would be a guess."""
    with pytest.raises(LabelConfigError, match="'A' and 'B' both list"):
        label_map(one, other)


def test_class_listed_twice_by_one_label_is_no_conflict() -> None:
    """Name and MID of one class, say."""
    assert label_map(label("A", "Car", "/m/0k4j")).label_for("Car", "") == "A"


def test_every_class_reaches_a_label_of_its_name_in_any_spelling() -> None:
    """Lower case, capitals and underscores lose no class of the list, and the most specific label wins."""
    for spell in (str.lower, str.upper, lambda name: name.replace(" ", "_")):
        names = {name: spell(name) for name in CLASSES.names}
        mapped = label_map(*(label(spelt) for spelt in names.values()))
        assert all(mapped.label_for(name, "") == spelt for name, spelt in names.items())


def test_single_label_captures_its_class_and_those_below_and_no_other() -> None:
    """Each class of the list, against the hierarchy, walked the other way round."""
    for name in CLASSES.names:
        mid = CLASSES.find(name)
        below = {each for each in CLASSES.ids if any(mid in level for level in CLASSES.ancestors(each))}
        assert set(label_map(label(name)).captured()) == below | {mid}, name


names = st.lists(st.sampled_from(CLASSES.names), min_size=1, max_size=6, unique=True)


@given(names, st.sampled_from(CLASSES.names), st.sampled_from(CLASSES.names))
def test_unrelated_label_changes_nothing(chosen: list[str], added: str, seen: str) -> None:
    """A class goes where it went, unless the added label is the class itself or above it."""
    mid = CLASSES.find(seen) or ""
    related = {mid, *(each for level in CLASSES.ancestors(mid) for each in level)}
    if CLASSES.find(added) in related:
        return
    before = label_map(*map(label, chosen)).label_for(seen, mid)
    after = label_map(*map(label, [*chosen, *([added] if added not in chosen else [])])).label_for(seen, mid)
    assert after == before


@given(names, st.sampled_from(CLASSES.names))
def test_most_specific_label_wins(chosen: list[str], seen: str) -> None:
    """No other label of the config lies strictly nearer above the class."""
    mid = CLASSES.find(seen) or ""
    levels = [[mid], *CLASSES.ancestors(mid)]
    nearest = next((level for level in levels if {CLASSES.find(name) for name in chosen} & set(level)), [])
    found = label_map(*map(label, chosen)).label_for(seen, mid)
    assert (CLASSES.find(found) in nearest) if found else not nearest


def test_synonyms_name_classes_and_are_none_themselves() -> None:
    """A word that is a class already needs no synonym, and a synonym of nothing helps nobody."""
    folded = {fold(name) for name in CLASSES.names}
    assert set(SYNONYMS) <= set(CLASSES.names)
    assert not {fold(word) for words in SYNONYMS.values() for word in words} & folded
