"""Choices as Label Studio stores them, and whatever else JSON can carry in their place."""

import json
import math
from typing import Any

import pytest
from corrections import MIXED_CONFIG, SCENE_CONFIG
from hypothesis import given
from hypothesis import strategies as st

from ml_backend.label_studio.label_config import parse_label_config
from ml_backend.label_studio.labelled_boxes import MAX_LABEL_LENGTH, read_regions
from ml_backend.label_studio.labelled_choices import MAX_CHOICES, LabelledChoices, ReadChoices, read_choices

TREE = (
    '<Taxonomy name="tree" toName="image"><Choice value="Animal"><Choice value="Dog"/></Choice>'
    '<Choice value="Thing"/></Taxonomy>'
)
CONTROLS = parse_label_config(SCENE_CONFIG.replace("</View>", f"{TREE}</View>"))[0]


def region(choices: Any, **parts: Any) -> dict[str, Any]:
    """Return a region of choices, as the editor of Label Studio 1.23.2 stores it."""
    common = {"id": "r", "type": "choices", "from_name": "scene", "to_name": "image", "origin": "manual"}
    return common | {"value": {"choices": choices}} | parts


def path(*paths: Any) -> dict[str, Any]:
    """Return a region of paths through a tree."""
    return region(None, type="taxonomy", from_name="tree", value={"taxonomy": list(paths)})


def read(*regions: Any) -> ReadChoices:
    """Read regions of a project of scenes."""
    return read_choices(list(regions), CONTROLS)


def odd(of: ReadChoices) -> dict[str, int]:
    """Return what was odd, without what was not."""
    return dict(+of.odd)


@pytest.mark.parametrize(
    ("given", "choices", "kinds"),
    [
        (region(["Dog"]), ("Dog",), {}),
        (region(["Dog", "Cat"]), ("Dog", "Cat"), {}),
        (region(["Dog", "Dog"]), ("Dog",), {}),
        (region("Dog"), ("Dog",), {}),
        (region([]), (), {}),
        (region(["gone from the config"]), ("gone from the config",), {}),
        (region(["<b>&\"'</b>", "Größe 凧 🪁"]), ("<b>&\"'</b>", "Größe 凧 🪁"), {}),
        (region(["D\ud800g"]), ("D\\ud800g",), {}),
        (region(["x" * (MAX_LABEL_LENGTH + 1)]), ("x" * (MAX_LABEL_LENGTH - 1) + "…",), {}),
        (region(["Dog", 5, None, "", ["Cat"], {}]), ("Dog",), {"unreadable": 1}),
        (region(None), (), {"unreadable": 1}),
        (region({"Dog": 1}), (), {"unreadable": 1}),
        (region(0, value=None), (), {"unreadable": 1}),
        (region(0, value=["Dog"]), (), {"unreadable": 1}),
        (region(0, value={"taxonomy": [["Dog"]]}), (), {"unreadable": 1}),
        (region(0, value={"rectanglelabels": ["Dog"], "x": 1}), (), {"unreadable": 1}),
        (region([str(n) for n in range(10_000)]), tuple(map(str, range(MAX_CHOICES))), {"too many choices": 1}),
        (path(["Animal", "Dog"], ["Thing"]), ("Animal / Dog", "Thing"), {}),
        (path(["Thing"], ["Thing"]), ("Thing",), {}),
        (path(["Animal", "D\ud800g"]), ("Animal / D\\ud800g",), {}),
        (path("Thing"), (), {"unreadable": 1}),
        (path([], ["Thing"]), ("Thing",), {"unreadable": 1}),
        (path(["Animal", 5]), (), {"unreadable": 1}),
        (path([["Animal", ["Dog"]]], ["Animal", ""]), (), {"unreadable": 1}),
        (path(["x"] * 100_000), (" / ".join(["x"] * 300)[: MAX_LABEL_LENGTH - 1] + "…",), {}),
        (path(*[["Thing", str(n)] for n in range(MAX_CHOICES + 1)]), None, {"too many choices": 1}),
    ],
    ids=[
        "one",
        "several",
        "one twice",
        "a text in place of a list",
        "none any more",
        "not in the config",
        "markup and unicode stay what they are",
        "lone surrogate",
        "too long",
        "a choice among other things",
        "null",
        "an object in place of a list",
        "no value",
        "a list in place of a value",
        "a path under choices",
        "a rectangle under choices",
        "ten thousand",
        "paths",
        "a path twice",
        "lone surrogate in a path",
        "a text in place of a path",
        "an empty path beside another",
        "a number in a path",
        "lists in lists",
        "an endless path",
        "too many paths",
    ],
)
def test_choices_are_texts_that_can_be_kept(
    given: dict[str, Any], choices: tuple[str, ...] | None, kinds: dict[str, int]
) -> None:
    """What can be read counts; the rest is counted as odd."""
    found = read(given)
    (one,) = found.choices
    assert (one.control, one.item) == (given["from_name"], 0)
    assert choices is None or one.choices == choices
    assert len(one.choices) <= MAX_CHOICES
    assert odd(found) == kinds


@pytest.mark.parametrize(
    ("regions", "kinds"),
    [(None, {"unreadable": 0}), ({}, {"unreadable": 1}), ("x", {"unreadable": 1}), ([None, 5, [region(["Dog"])]], {"unreadable": 3})],
    ids=["null", "an object", "a text", "things that are no regions"],
)  # fmt: skip
def test_what_is_no_region_is_counted_once(regions: Any, kinds: dict[str, int]) -> None:
    """By the reader of rectangles, which sees all regions."""
    assert read_choices(regions, CONTROLS) == ReadChoices()
    assert dict(read_regions(regions, CONTROLS).odd) == kinds


@pytest.mark.parametrize(
    "other",
    [
        region(["Dog"], from_name="gone"),
        region(["Dog"], from_name=["scene"]),
        region(["Dog"]) | {"from_name": None},
        {"type": "rectanglelabels", "from_name": "label", "value": {"rectanglelabels": ["Kite"]}},
    ],
    ids=["a control that is gone", "a list for a name", "null for a name", "a rectangle"],
)
def test_regions_of_other_controls_are_left_to_their_reader(other: dict[str, Any]) -> None:
    """Each region is read by one of the two."""
    assert read(other) == ReadChoices()
    assert odd(read(other, region(["Dog"]))) == {}
    assert sum(read_regions([other], CONTROLS).odd.values()) == 1


@pytest.mark.parametrize(
    ("attributes", "item_index", "item"),
    [("", 2, 0), ("", None, 0), ('perItem="true"', 2, 2), ('perItem="true"', None, 0), ('perItem="true"', -1, 0), ('perItem="true"', "2", 0)],
    ids=["all images together", "no place", "each image of its own", "no place in a list", "negative", "a text"],
)  # fmt: skip
def test_place_in_the_list_counts_where_each_image_has_its_own_choices(
    attributes: str, item_index: Any, item: int
) -> None:
    """Otherwise all images are classified together, whichever was on the screen."""
    config = MIXED_CONFIG.replace('value="$image"', 'valueList="$image"').replace(
        '<Choices name="scene"', f'<Choices name="scene" {attributes}'
    )
    found = read_choices([region(["Dog"], item_index=item_index)], parse_label_config(config)[0])
    assert [each.item for each in found.choices] == [item]


@pytest.mark.parametrize(
    ("score", "expected"), [(0.5, 0.5), (None, 0), (2, 1), (math.nan, 0), (10**400, 0), ("0.5", 0)]
)
def test_scores_lie_between_0_and_1(score: Any, expected: float) -> None:
    """Chosen ones have none, which is 0."""
    assert read(region(["Dog"], score=score)).choices == [LabelledChoices("scene", 0, ("Dog",), expected)]


_plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just("\ud800")
_json = st.recursive(
    _plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
_value = st.fixed_dictionaries({}, optional={"choices": _json, "taxonomy": _json | st.lists(st.lists(_plain))})
_region = st.fixed_dictionaries(
    {"from_name": st.sampled_from(["scene", "tree", "", None]), "value": _value | _json},
    optional=dict.fromkeys(("type", "id", "score", "item_index"), _json),
)


@given(_json | st.lists(_region | _json, max_size=4))
def test_any_json_gives_texts_that_can_be_kept(regions: Any) -> None:
    """And never an error."""
    for each in read_choices(regions, CONTROLS).choices:
        assert all(text and text.encode() for text in each.choices)
        json.dumps(each, allow_nan=False)
