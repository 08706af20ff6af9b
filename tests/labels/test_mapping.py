import pytest

from ml_backend.labels.config import Label
from ml_backend.labels.mapping import LabelMap
from ml_backend.open_images import open_images_classes


def label(value: str, *predicted: str, alias: str = "") -> Label:
    """Return a label as the config reader makes it."""
    return Label(alias or value, tuple(filter(None, (value, alias))), predicted)


@pytest.mark.parametrize(
    ("labels", "name", "mid", "expected"),
    [
        ([label("Car")], "Car", "/m/0k4j", "Car"),
        ([label("car")], "Car", "/m/0k4j", "car"),
        ([label("CAR")], "Car", "", "CAR"),
        ([label("traffic_light")], "Traffic light", "", "traffic_light"),
        ([label("TrafficLight")], "Traffic light", "", "TrafficLight"),
        ([label("/m/0k4j")], "Car", "/m/0k4j", "/m/0k4j"),
        ([label("Auto", alias="car")], "Car", "", "car"),
        ([label("Vehicle", "Car", "Taxi")], "Taxi", "", "Vehicle"),
        ([label("Vehicle", "/m/0k4j")], "Car", "/m/0k4j", "Vehicle"),
        ([label("Vehicle", "traffic_LIGHT")], "Traffic light", "", "Vehicle"),
        ([label("Car"), label("Vehicle", "Car")], "Car", "", "Vehicle"),
        ([label("car"), label("Car")], "Car", "", "Car"),
        ([label("car"), label("CAR")], "Car", "", "car"),
        ([label("Person")], "Car", "/m/0k4j", None),
        ([label("Cars")], "Car", "", None),
        ([label("Person")], "", "", None),
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
        "another class",
        "no fuzzy guess",
        "class without name and MID",
    ],
)
def test_rules_in_their_order(labels: list[Label], name: str, mid: str, expected: str | None) -> None:
    """Predicted values, then the exact name, then the folded one."""
    assert LabelMap(labels).label_for(name, mid) == expected


def test_every_class_reaches_a_label_of_its_name_in_any_spelling() -> None:
    """Lower case, capitals and underscores lose no class of the list."""
    classes = open_images_classes()
    for spell in (str.lower, str.upper, lambda name: name.replace(" ", "_")):
        labels = [label(spell(name)) for name in classes.names]
        assert len(LabelMap(labels).labels_reached(classes)) == len(classes.names)
