from typing import Any

import numpy as np
import pytest
from samples import detections_of

from ml_backend.label_studio.controls.control import Label
from ml_backend.label_studio.controls.rectangles import RectangleControl
from ml_backend.label_studio.interactive import drawn_regions, newest_region, read_drawn_region
from ml_backend.postprocessing.interactive import select_detection
from ml_backend.postprocessing.label_map import LabelMap

CONTROL = RectangleControl("label", "image", "image", (Label("Person", ("Person",)), Label("Car", ("Car",))))


def drawn(label: str = "Person", x: float = 10, **changes: Any) -> dict[str, Any]:
    """Return a region as Label Studio's interface sends it after a rectangle was drawn."""
    value = {"x": x, "y": 20, "width": 30, "height": 40, "rotation": 0, "rectanglelabels": [label]}
    region = {
        "id": "oTm7QDHtaf",
        "from_name": "label",
        "to_name": "image",
        "type": "rectanglelabels",
        "origin": "manual",
    }
    return {**region, "value": value, **changes}


def turned(rotation: object, **changes: Any) -> dict[str, Any]:
    """Return a turned rectangle on a picture of 640 x 480 pixels."""
    region = drawn(original_width=640, original_height=480)
    region["value"]["rotation"] = rotation
    return {**region, **changes}


def test_newest_rectangle_counts() -> None:
    """Label Studio puts older regions of the same label in front."""
    gesture = read_drawn_region({"result": [drawn(x=50), drawn("Car")]}, [CONTROL])
    assert gesture is not None
    assert (gesture.label, gesture.item, gesture.region_id) == ("Car", 0, "oTm7QDHtaf")
    np.testing.assert_allclose(gesture.box, [[0.2, 0.1, 0.6, 0.4]], atol=1e-6)


def test_older_rectangle_is_no_gesture() -> None:
    """The newest region is of another control, or no rectangle: what is answered for the older one would replace it."""
    assert read_drawn_region({"result": [drawn(id="old"), drawn(id="new", from_name="other")]}, [CONTROL]) is None
    regions = [drawn(id="old"), {"id": "new", "type": "polygonlabels"}, 5]
    assert read_drawn_region({"result": regions}, [CONTROL]) is None
    (own,) = newest_region(regions, (1, "v1"))
    assert own == {"id": own["id"], "type": "polygonlabels"}
    assert own["id"] not in {"old", "new"}
    assert newest_region([5], (1, "v1")) == []


@pytest.mark.parametrize(
    ("rotation", "size", "expected"),
    [
        pytest.param(360, (100, 100), (0.2, 0.1, 0.6, 0.4), id="all the way round"),
        pytest.param(90, (100, 100), (0.2, -0.3, 0.5, 0.1), id="a quarter, about the corner"),
        pytest.param(-90, (100, 100), (-0.1, 0.1, 0.2, 0.5), id="a quarter back"),
        pytest.param(90, (200, 100), (0.2, -0.1, 0.8, 0.1), id="on a wide picture, whose percentages differ"),
    ],
)
def test_turned_rectangle_is_read_about_its_corner(
    rotation: float, size: tuple[int, int], expected: tuple[float, ...]
) -> None:
    """Label Studio's x and y are those of the corner before it was turned."""
    region = turned(rotation, original_width=size[0], original_height=size[1])
    gesture = read_drawn_region({"result": [region]}, [CONTROL])
    assert gesture is not None
    np.testing.assert_allclose(gesture.box, [expected], atol=1e-6)


@pytest.mark.parametrize(
    "context",
    [
        pytest.param(None, id="outside interactive mode"),
        pytest.param({}, id="the official runner 2.x, where a request has none"),
        pytest.param({"result": None}, id="no regions"),
        pytest.param({"result": []}, id="an empty list"),
        pytest.param({"result": "text"}, id="a text"),
        pytest.param({"result": {"a": 1}}, id="an object"),
        pytest.param({"other": [drawn()]}, id="another key"),
        pytest.param([drawn()], id="no object"),
        pytest.param(5, id="a number"),
    ],
)
def test_context_without_regions_is_no_gesture(context: object) -> None:
    """Tasks are then predicted as usual."""
    assert not drawn_regions(context)
    assert read_drawn_region(context, [CONTROL]) is None


def test_rectangle_is_kept_as_it_was_drawn() -> None:
    """It is the answer where no detection fits."""
    region = turned(-30)
    gesture = read_drawn_region({"result": [region]}, [CONTROL])
    assert gesture is not None
    assert gesture.rectangle == {name: region["value"][name] for name in ("x", "y", "width", "height", "rotation")}


@pytest.mark.parametrize(
    "context",
    [
        {"result": [5]},
        {"result": [drawn("Zebra")]},
        {"result": [drawn(from_name="other")]},
        {"result": [drawn(value={"x": 1, "keypointlabels": ["Car"]})]},
        {"result": [drawn(value=None)]},
        {"result": [drawn(x=float("nan"))]},
        {"result": [drawn(item_index=-1)]},
        {"result": [drawn(item_index="x")]},
        {"result": [drawn(item_index=float("inf"))]},
        {"result": [drawn(x=10**400)]},
        {"result": [drawn(x=1e300)]},
        {"result": [turned("x")]},
        {"result": [turned(float("inf"))]},
        {"result": [turned(float("nan"))]},
        {"result": [turned(30, original_width=0)]},
        {"result": [turned(30, original_width=None)]},
        {"result": [drawn(value={"x": 1, "y": 1, "width": 1, "height": 1, "rectanglelabels": [["Car"]]})]},
    ],
)
def test_other_contexts_are_no_gesture(context: object) -> None:
    """Points, brushes, strange labels and nonsense are passed over."""
    assert read_drawn_region(context, [CONTROL]) is None


EXACT, NEAR, HALF, FAR = (0.2, 0.1, 0.6, 0.4), (0.2, 0.1, 0.58, 0.4), (0.2, 0.1, 0.6, 0.22), (0.7, 0.7, 0.9, 0.9)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("Person", 0.9, NEAR), ("Person", 0.1, EXACT)], 1),
        ([("Clothing", 0.9, EXACT), ("Person", 0.3, NEAR)], 1),
        ([("Car", 0.9, NEAR)], 0),
        ([("Person", 0.9, HALF), ("Car", 0.9, EXACT)], 0),
        ([("Person", 0.9, FAR)], None),
        ([("Person", 0.01, EXACT)], None),
        ([], None),
    ],
    ids=[
        "larger overlap wins over score",
        "the drawn label comes first",
        "another class will do",
        "the drawn label needs only some overlap",
        "elsewhere",
        "too weak",
        "nothing found",
    ],
)
def test_best_fit(rows: list[Any], expected: int | None) -> None:
    """What the annotator meant by a hasty rectangle."""
    gesture = read_drawn_region({"result": [drawn()]}, [CONTROL])
    assert gesture is not None
    assert select_detection(gesture, detections_of(*rows), LabelMap(CONTROL)) == expected


def outline(width: float, height: float, roundness: float, rotation: float) -> tuple[float, float, float, float]:
    """Return the edges of an object in the middle of a square picture, as the detector gives them: 2 is an ellipse, 50 nearly a rectangle."""
    angle = np.linspace(0, 2 * np.pi, 1000)
    cosine, sine = np.cos(angle), np.sin(angle)
    x = width / 2 * np.sign(cosine) * abs(cosine) ** (2 / roundness)
    y = height / 2 * np.sign(sine) * abs(sine) ** (2 / roundness)
    turn = np.deg2rad(rotation)
    across, down = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    return (0.5 + down.min(), 0.5 + across.min(), 0.5 + down.max(), 0.5 + across.max())


@pytest.mark.parametrize("rotation", [30, 45, -30, 120])
@pytest.mark.parametrize(
    ("width", "height", "roundness"),
    [
        pytest.param(0.2, 0.2, 2, id="a ball"),
        pytest.param(0.2, 0.2, 50, id="a crate"),
        pytest.param(0.4, 0.2, 4, id="a car"),
        pytest.param(0.5, 0.05, 50, id="a pole"),
    ],
)
def test_turned_rectangle_finds_the_object_in_it(
    width: float, height: float, roundness: float, rotation: float
) -> None:
    """Among one of its size that nobody turned, one that holds it, and one in it."""
    turn = np.deg2rad(rotation)
    left = 0.5 - (width / 2 * np.cos(turn) - height / 2 * np.sin(turn))  # of the corner about which Label Studio turns
    top = 0.5 - (width / 2 * np.sin(turn) + height / 2 * np.cos(turn))
    value = {"x": left * 100, "y": top * 100, "width": width * 100, "height": height * 100, "rotation": rotation}
    region = drawn(value={**value, "rectanglelabels": ["Person"]}, original_width=500, original_height=500)
    gesture = read_drawn_region({"result": [region]}, [CONTROL])
    assert gesture is not None
    meant = outline(width, height, roundness, rotation)
    unturned = (top, left, top + height, left + width)
    middle = np.array([0.5] * 4)
    holding, inside = (tuple(middle + (np.array(meant) - middle) * scale) for scale in (2, 0.5))
    found = detections_of(*(("Person", 0.9, edges) for edges in (unturned, holding, meant, inside)))
    assert select_detection(gesture, found, LabelMap(CONTROL)) == 2
