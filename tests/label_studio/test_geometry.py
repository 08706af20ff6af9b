import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_backend.label_studio.geometry import upright, upright_object


@pytest.mark.parametrize(
    ("rotation", "shape", "expected"),
    [
        (0, (100, 100), (50, 20, 20, 10)),
        (90, (100, 100), (40, 20, 10, 20)),
        (180, (100, 100), (30, 10, 20, 10)),
        (270, (100, 100), (50, 0, 10, 20)),
        (-90, (100, 100), (50, 0, 10, 20)),
        (90, (200, 100), (45, 20, 5, 40)),
        (90, (100, 200), (30, 20, 20, 10)),
    ],
    ids=["not turned", "quarter", "half", "three quarters", "back", "a wide picture", "a high picture"],
)
def test_turned_rectangle_pivots_on_its_top_left_corner(
    rotation: float, shape: tuple[float, float], expected: tuple[float, ...]
) -> None:
    """Clockwise and in pixels, so that on a wide picture a quarter turn is more percent high than it was wide."""
    assert upright((50, 20, 20, 10), rotation, shape) == pytest.approx(expected)


_percent = st.floats(0, 100)


@given(
    st.tuples(_percent, _percent, _percent, _percent),
    st.floats(-720, 720),
    st.tuples(st.integers(1, 10_000), st.integers(1, 10_000)),
)
def test_upright_rectangle_just_holds_the_turned_corners(
    rectangle: tuple[float, float, float, float], rotation: float, shape: tuple[int, int]
) -> None:
    """Against a rotation matrix on corners in pixels."""
    left, top, width, height = rectangle
    scale = np.array(shape) / 100
    corners = np.array([(0, 0), (width, 0), (0, height), (width, height)]) * scale
    angle = np.deg2rad(rotation)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = (corners @ turn.T) / scale + (left, top)
    expected = (*turned.min(axis=0), *(turned.max(axis=0) - turned.min(axis=0)))
    assert upright(rectangle, rotation, shape) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("rotation", [0, 90, 180, -90, 360])
def test_object_in_a_rectangle_turned_by_right_angles_fills_it(rotation: float) -> None:
    """Round or not, it has the same edges."""
    expected = upright((50, 20, 20, 10), rotation, (200, 100))
    assert upright_object((50, 20, 20, 10), rotation, (200, 100)) == pytest.approx(expected)


def test_object_in_a_turned_rectangle_is_halfway_between_a_round_one_and_one_with_corners() -> None:
    """A square of 20 turned by 45 degrees: a ball in it is 20 wide, a crate 28.28."""
    left, top, width, height = upright_object((50, 20, 20, 20), 45, (100, 100))
    assert (width, height) == pytest.approx((24.142, 24.142), abs=1e-3)
    assert (left + width / 2, top + height / 2) == pytest.approx((50, 20 + 14.142), abs=1e-3)
