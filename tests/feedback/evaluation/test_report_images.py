"""Crops of candidates."""

import numpy as np
import pytest
from PIL import Image

from ml_backend.feedback.evaluation.candidates import Candidate, CandidateKind, Edges
from ml_backend.feedback.evaluation.report_images import CROP_WIDTH, DETECTED, DRAWN, crop


def candidate_of(kind: CandidateKind, drawn: Edges | None, detected: Edges | None) -> Candidate:
    """Return a candidate with some boxes."""
    labels = ("Kite" if drawn else "", "Box" if detected else "")
    return Candidate(kind, 0.5, 1, 1, 1, "label", 0, labels[0], drawn, labels[1], detected, "0.jpg")


def has(image: Image.Image, colour: str) -> bool:
    """Tell whether a colour is in an image."""
    rgb = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)])
    return bool((np.asarray(image) == rgb).all(axis=2).any())


@pytest.mark.parametrize(
    ("drawn", "detected", "size"),
    [
        ((0.25, 0.25, 0.5, 0.5), None, (280, 140)),
        (None, (0.25, 0.25, 0.5, 0.5), (280, 140)),
        ((0.25, 0.25, 0.5, 0.375), (0.25, 0.375, 0.5, 0.5), (280, 140)),
        ((0.0, 0.0, 1.0, 1.0), None, (280, 140)),
        ((0.0, 0.0, 0.5, 0.5), (0.0, 0.5, 0.5, 1.0), (280, 105)),
        ((0.5, 0.5, 0.501, 0.501), None, (280, 272)),
        ((0.0, 0.99, 1.0, 1.0), None, (17, 280)),
    ],
    ids=["drawn alone", "detected alone", "beside each other", "the whole image", "half of it", "a speck", "an edge"],
)
def test_crop_is_around_both_boxes(drawn: Edges | None, detected: Edges | None, size: tuple[int, int]) -> None:
    """With a margin of half of their size on each side, within the image, and at most so large; boxes have their colours."""
    image = Image.new("RGB", (800, 400), "white")
    part = crop(image, candidate_of("badly placed", drawn, detected))
    assert max(part.size) == CROP_WIDTH
    assert part.size == pytest.approx(size, abs=3)
    assert (has(part, DRAWN), has(part, DETECTED)) == (drawn is not None, detected is not None)


def test_crop_shows_the_place_of_the_box() -> None:
    """What lies in the box is in the middle of the crop."""
    pixels = np.zeros((400, 800, 3), np.uint8)
    pixels[100:200, 200:400] = (0, 255, 0)
    part = np.asarray(crop(Image.fromarray(pixels), candidate_of("nothing there", (0.25, 0.25, 0.5, 0.5), None)))
    assert part[part.shape[0] // 2, part.shape[1] // 2].tolist() == [0, 255, 0]
    assert part[-3, -3].tolist() == [0, 0, 0]
