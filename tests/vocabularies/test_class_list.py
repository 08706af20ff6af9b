import pytest

from ml_backend.vocabularies.class_list import ClassList, ModelClass, by_rank, fold

# Two birds and two machines: crane is the first name of one of each, and a jib crane is both a crane and a jib.
CLASSES = ClassList(
    ids=("bird", "crane1", "crane2", "machine", "jib", "jib crane"),
    names=("bird", "crane", "crane", "machine", "Jib_Boom", "jib crane"),
    parents={"crane1": ("bird",), "crane2": ("machine",), "jib": ("machine",), "jib crane": ("crane2", "jib")},
    other_names=by_rank({"device": [(2, "jib"), (1, "machine")], "crane": [(3, "jib crane")]}),
    namesakes=by_rank({"crane": [(5, "crane1"), (4, "crane2")]}),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("crane1", "crane1"),
        ("machine", "machine"),
        ("Crane", "crane2"),
        ("jib boom", "jib"),
        (" JIB_boom\n", "jib"),
        ("device", None),
        ("", None),
        ("eagle", None),
    ],
    ids=[
        "an id",
        "a name",
        "of two classes with the name, the one of the lowest rank",
        "a name in another spelling",
        "spaces and case",
        "a synonym is no name",
        "nothing",
        "no class",
    ],
)
def test_classes_are_found_by_id_and_name(text: str, expected: str | None) -> None:
    """Compared without case, spaces and underscores."""
    assert CLASSES.find(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Device", "machine"), ("crane", "jib crane"), ("machine", None)],
    ids=["the lowest rank", "a synonym of one, a name of others", "a name is no synonym"],
)
def test_synonyms_are_looked_up_by_themselves(text: str, expected: str | None) -> None:
    """Who asks decides whether names or synonyms come first."""
    assert CLASSES.find_synonym(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("crane", ("crane1", "jib crane")), ("DEVICE", ("jib",)), ("machine", ()), ("crane1", ()), ("eagle", ())],
    ids=["names, then synonyms", "synonyms alone", "one meaning", "an id has one meaning", "no class"],
)
def test_other_meanings_are_those_that_were_not_chosen(text: str, expected: tuple[str, ...]) -> None:
    """A label of such a word could mean any of them."""
    assert CLASSES.other_meanings(text) == expected


def test_ancestors_come_by_distance_and_once() -> None:
    """Two ways lead from the jib crane to the machine; the class itself is none of its ancestors."""
    assert list(CLASSES.ancestors("jib crane")) == [["crane2", "jib"], ["machine"]]
    assert list(CLASSES.ancestors("machine")) == []
    assert list(CLASSES.ancestors("eagle")) == []


def test_ancestors_of_a_circle_end() -> None:
    """A faulty hierarchy must not hang the service."""
    circle = ClassList(("a", "b"), ("a", "b"), {"a": ("b",), "b": ("a",)})
    assert list(circle.ancestors("a")) == [["b"]]


def test_classes_have_numbers_from_one() -> None:
    """As detectors number them; a number outside the list has no class."""
    assert CLASSES.at(2) == ModelClass("crane", "crane1")
    assert [CLASSES.at(number) for number in (0, -1, 7)] == [("", "")] * 3
    assert CLASSES.classes()[4] == ("Jib_Boom", "jib")


@pytest.mark.parametrize(
    ("one", "other"),
    [("traffic light", "Traffic_Light"), ("tv monitor", "TVMonitor"), ("Straße", "STRASSE"), ("a\tb", "a\u00a0b")],
)
def test_folded_names_are_equal(one: str, other: str) -> None:
    """Case, kinds of spaces and underscores do not tell names apart."""
    assert fold(one) == fold(other)
