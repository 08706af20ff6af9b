"""The colours of detected boxes."""

import numpy as np
import pytest
from numpy.typing import NDArray
from samples import Row, detections_of

from ml_backend.images.box_colours import colours_in, with_colours
from ml_backend.images.decoding.decode import DecodedImage

WHOLE = np.array([[0, 0, 1, 1]], np.float32)


def plain(red: int, green: int, blue: int, size: int = 24) -> NDArray[np.uint8]:
    """Return a square picture of one colour."""
    return np.full((size, size, 3), (red, green, blue), np.uint8)


def halves(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return two pictures side by side."""
    return np.concatenate([left, right], axis=1)


BLACK, WHITE, RED, BLUE = plain(0, 0, 0), plain(255, 255, 255), plain(255, 0, 0), plain(0, 0, 255)


@pytest.mark.parametrize(
    ("pixels", "expected", "why"),
    [
        (BLACK, [0, 128, 128, 0, 0, 0], "no light, and no colour: not a row of zeros"),
        (WHITE, [255, 128, 128, 0, 0, 0], "all light"),
        (plain(100, 100, 100), [100, 128, 128, 0, 0, 0], "grey"),
        (RED, [76, 85, 255, 0, 0, 0], "ITU-T T.871 for pure red"),
        (BLUE, [29, 255, 107, 0, 0, 0], "and for pure blue"),
        (halves(BLACK, WHITE), [128, 128, 128, 128, 0, 0], "half and half: the middle, and the largest deviation"),
        (halves(RED, BLUE), [53, 170, 181, 24, 85, 74], "two colours"),
    ],
)
def test_colours_are_means_and_deviations(pixels: NDArray[np.uint8], expected: list[int], why: str) -> None:
    """Of luma, of blue against yellow, and of red against green, in steps of a byte."""
    assert colours_in(pixels, WHOLE)[0].tolist() == expected, why


@pytest.mark.parametrize(
    ("edges", "light"),
    [
        ((0, 0, 1, 0.5), 0),
        ((0, 0.5, 1, 1), 255),
        ((0.2, 0.6, 0.2, 0.6), 255),
        ((-0.5, -0.5, 0.5, 0.2), 0),
        ((0.9, 0.9, 3, 3), 255),
        ((2, 2, 3, 3), 255),
    ],
    ids=["left", "right", "without area", "beyond the corner", "beyond the other corner", "outside"],
)
def test_colours_are_those_in_the_box(edges: tuple[float, float, float, float], light: int) -> None:
    """Beyond the image there is its border."""
    assert colours_in(halves(BLACK, WHITE), np.array([edges], np.float32))[0, 0] == light


def test_colours_depend_little_on_the_size_of_the_image() -> None:
    """Whole images are shrunk, and tiles less so."""
    chance = np.random.default_rng(1)
    coarse = chance.integers(0, 255, (8, 8, 3), np.uint8)
    sizes = [coarse.repeat(times, 0).repeat(times, 1) for times in (6, 60)]
    found = [colours_in(pixels, WHOLE).astype(int) for pixels in sizes]
    assert np.abs(found[0] - found[1]).max() <= 2


@pytest.mark.parametrize(
    ("rows", "known"),
    [
        ([("Kite", 0.9, (0, 0, 1, 1)), ("Kite", 0.05, (0, 0, 1, 1)), ("Kite", 0.049, (0, 0, 1, 1))], [1, 1, 0]),
        ([("Kite", 0.04, (0, 0, 1, 1))], None),
        ([], None),
    ],
    ids=["from 0.05", "none is likely enough", "none"],
)
def test_likely_detections_get_colours(rows: list[Row], known: list[int] | None) -> None:
    """The others are many, and hardly ever shown."""
    found = with_colours(detections_of(*rows), DecodedImage(BLACK, 24, 24))
    assert (None if found.colours is None else found.colours.any(axis=1).tolist()) == known
