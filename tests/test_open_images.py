import pytest

from ml_backend.open_images import is_mid, open_images_classes


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
    assert len(classes.names) == len(set(classes.names)) == len(set(classes.mids)) == 601
    assert all(map(is_mid, classes.mids))
    assert not any(map(is_mid, classes.names))
