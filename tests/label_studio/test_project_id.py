import pytest

from ml_backend.label_studio.project_id import parse_project_id


@pytest.mark.parametrize(
    ("name", "number"),
    [
        pytest.param("7.1795326029", 7, id="as Label Studio names projects"),
        pytest.param("7", 7, id="the id alone"),
        pytest.param(7, 7, id="the id as a number"),
        pytest.param("0.1", 0, id="zero"),
        pytest.param("9" * 19 + ".1", 10**19 - 1, id="the longest"),
        pytest.param(None, None, id="no project"),
        pytest.param("", None, id="an empty name"),
        pytest.param("runner", None, id="a word"),
        pytest.param("None", None, id="a missing project as text"),
        pytest.param("9" * 20, None, id="longer than any id"),
        pytest.param("7." + "9" * 20, None, id="longer than any time"),
        pytest.param("7" * 5000, None, id="longer than Python reads"),
        pytest.param("07", None, id="a second spelling of 7"),
        pytest.param("7.", None, id="no time after the dot"),
        pytest.param("7.x", None, id="no number after the dot"),
        pytest.param("7.1.2", None, id="two dots"),
        pytest.param(".7", None, id="no id before the dot"),
        pytest.param("x.7", None, id="no number before the dot"),
        pytest.param("-7", None, id="below zero"),
        pytest.param(-7, None, id="a number below zero"),
        pytest.param("+7", None, id="a sign"),
        pytest.param(" 7", None, id="a space before"),
        pytest.param("7 ", None, id="a space after"),
        pytest.param("7\n", None, id="a line break after"),
        pytest.param("7e0", None, id="an exponent"),
        pytest.param("0x7", None, id="a prefix"),
        pytest.param("../7", None, id="a path"),
        pytest.param("\u00b3", None, id="a raised digit"),
        pytest.param("\uff17", None, id="a wide digit"),
        pytest.param("\u0667", None, id="an Arabic digit"),
        pytest.param("\ud800", None, id="a lone surrogate"),
    ],
)
def test_project_has_one_id(name: str | int | None, number: int | None) -> None:
    """A name in any other form is nobody's: two spellings of one id would be two projects in one place and one in another."""
    assert parse_project_id(name) == number
