from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from ml_backend.images.label_colours import PALETTE, colours_of, text_on
from ml_backend.label_studio.label_config import parse_label_config

LABEL_CONFIGS = Path(__file__).parent.parent.parent / "label_config"


# Oklab (Björn Ottosson, 2020): from linear red, green and blue to cone responses, and from their cube roots to lightness and two axes of hue.
TO_CONES = [[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]]
TO_LAB = [[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]]


def test_colours_are_well_apart() -> None:
    """In Oklab, where equal distances look equal, with hue counting 1.6 times as much as lightness, which varies in photographs."""
    srgb = np.array([list(bytes.fromhex(colour[1:])) for colour in PALETTE]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    places = np.cbrt(linear @ np.transpose(TO_CONES)) @ np.transpose(TO_LAB) * [1, 1.6, 1.6]
    assert pdist(places).min() > 0.19


@pytest.mark.parametrize("name", ["detection.xml", "traffic.xml", "boxes_and_choices.xml"])
def test_labels_of_one_config_have_a_colour_each(name: str) -> None:
    """Dog, Chair, Mug, Bowl and Car too, whose names lead to one colour in a smaller palette."""
    (control, *_), _ = parse_label_config((LABEL_CONFIGS / name).read_text())
    labels = {label.value for label in control.labels} | {"Dog", "Chair", "Mug", "Bowl", "Car"}
    assert len(labels) <= len(PALETTE)
    assert len(set(colours_of(labels).values())) == len(labels)


def test_colour_depends_on_names_alone() -> None:
    """Neither the order of labels nor a repetition counts, and a label alone has the colour that its name prefers."""
    labels = [f"label {number}" for number in range(len(PALETTE))]
    assert colours_of(labels) == colours_of([*reversed(labels), labels[3]])
    assert sorted(colours_of(labels).values()) == sorted(PALETTE)
    kept = [label for label in labels if colours_of([label])[label] == colours_of(labels)[label]]
    assert len(kept) > len(labels) / 3


def test_labels_of_a_small_config_keep_their_colours() -> None:
    """Whatever is shown with them."""
    config = [f"label {number}" for number in range(len(PALETTE))]
    assert {colours_of([label], config)[label] for label in config} == set(PALETTE)


def test_large_config_does_not_use_up_the_colours() -> None:
    """With more labels than colours, those that are seen together differ all the same."""
    config = [f"label {number}" for number in range(10 * len(PALETTE))]
    alike = [label for label in config if colours_of([label])[label] == PALETTE[0]][:5]
    assert len(set(colours_of(alike, config).values())) == 5


def test_more_labels_than_colours_share_them() -> None:
    """Each label still has a colour, that of its name."""
    labels = [f"label {number}" for number in range(100)]
    colours = colours_of(labels)
    assert set(colours) == set(labels)
    assert set(colours.values()) == set(PALETTE)


@pytest.mark.parametrize(
    ("colour", "text"),
    [("#ffffff", "black"), ("#000000", "white"), ("#d2f000", "black"), ("#0000ff", "white"), ("#00693c", "white")],
)
def test_text_is_readable_on_its_colour(colour: str, text: str) -> None:
    """Black on bright colours, white on dark ones."""
    assert text_on(colour) == text
