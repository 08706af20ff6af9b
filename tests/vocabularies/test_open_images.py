import pytest

from ml_backend.vocabularies.open_images import is_mid, open_images_classes


@pytest.mark.parametrize(("number", "name"), [(69, "Person"), (84, "Lantern"), (571, "Car"), (1, "Tortoise")])
def test_numbers_count_lines_from_one(number: int, name: str) -> None:
    """The published detectors number classes by line, from 1."""
    assert open_images_classes().at(number)[0] == name


@pytest.mark.parametrize("number", [0, -1, 602])
def test_numbers_outside_the_list_name_nothing(number: int) -> None:
    """A number that no line has gives two empty texts."""
    assert open_images_classes().at(number) == ("", "")


def test_list_is_whole() -> None:
    """601 classes, each MID and each name once."""
    classes = open_images_classes()
    assert len(classes.names) == len(set(classes.names)) == len(set(classes.ids)) == 601
    assert all(map(is_mid, classes.ids))
    assert not any(map(is_mid, classes.names))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Taxi", [["Land vehicle"], ["Vehicle"]]),
        ("Dog", [["Carnivore"], ["Mammal"], ["Animal"]]),
        ("Tomato", [["Vegetable", "Fruit"], ["Food"]]),
        ("Person", []),
        ("Vehicle registration plate", [["Auto part"]]),
    ],
    ids=[
        "two steps",
        "three steps",
        "two parents with one above both",
        "a root",
        "a part of a car is a kind of auto part",
    ],
)
def test_ancestors_by_distance(name: str, expected: list[list[str]]) -> None:
    """Kinds only: what is a part of something is no kind of it."""
    classes = open_images_classes()
    levels = classes.ancestors(classes.find(name) or "")
    assert [{classes.name_by_id[mid] for mid in level} for level in levels] == [set(level) for level in expected]


@pytest.mark.parametrize("text", ["Traffic light", "traffic_light", "TRAFFICLIGHT", "/m/015qff", "/M/015QFF"])
def test_classes_are_found_in_any_spelling(text: str) -> None:
    """By name or MID, without regard to case, spaces and underscores."""
    assert open_images_classes().find(text) == "/m/015qff"


def test_hierarchy_has_only_classes_and_no_circle() -> None:
    """557 edges from kind to kind, and every way up ends."""
    classes = open_images_classes()
    edges = [(child, parent) for child, parents in classes.parents.items() for parent in parents]
    assert len(edges) == 557
    assert {mid for edge in edges for mid in edge} <= set(classes.ids)
    for mid in classes.ids:
        assert mid not in {up for level in classes.ancestors(mid) for up in level}
