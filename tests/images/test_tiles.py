from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import detections_of

from ml_backend.detections import Detections
from ml_backend.images.decoding.decode import DecodedImage
from ml_backend.images.tiles import OVERLAP, joined, no_detections, tiles_in

SIZE = (1600, 1200)


def image_of(width: int, height: int, shrunk: float = 1) -> DecodedImage:
    """Return an image whose pixels tell their column and row, each to 10 pixels of it."""
    rows, columns = np.mgrid[0 : round(height / shrunk), 0 : round(width / shrunk)] * shrunk
    pixels = np.dstack([columns // 10, rows // 10, 0 * rows]).astype(np.uint8)
    return DecodedImage(pixels, width, height)


@pytest.mark.parametrize(
    ("size", "most", "max_side", "grid", "why"),
    [
        ((640, 480), 4, 640, (0, 0), "a photograph of the detector's own scale"),
        ((960, 960), 4, 640, (0, 0), "not larger than one and a half times that"),
        ((961, 640), 4, 640, (2, 4), "large: steps of 320 pixels"),
        ((1280, 1280), 2, 640, (2, 2), "at most so many"),
        ((1280, 1280), 3, 640, (3, 3), "fewer than steps"),
        ((1000, 700), 4, 640, (3, 4), "no more than steps: tiles are not enlarged much"),
        ((6000, 4000), 4, 640, (4, 4), "a camera's photograph: still so many"),
        ((4000, 300), 4, 640, (1, 4), "a panorama has one row"),
        ((1280, 1280), 2, 1280, (0, 0), "a detector of another scale"),
        ((1280, 1280), 2, 0, (2, 2), "images are not shrunk: the usual scale"),
    ],
)
def test_number_of_tiles(size: tuple[int, int], most: int, max_side: int, grid: tuple[int, int], why: str) -> None:
    """Rows and columns follow from the size of the displayed image and the detector's scale."""
    names = [each.name for each in tiles_in(size, most, max_side)]
    rows, columns = grid
    assert names == [f"tiles{most} {row}.{column}" for row in range(1, rows + 1) for column in range(1, columns + 1)], (
        why
    )


@given(st.sampled_from([2, 3, 4]), st.floats(0, 1 - OVERLAP), st.floats(0, 1 - OVERLAP))
def test_object_of_the_overlap_is_whole_in_a_tile(most: int, left: float, top: float) -> None:
    """An object of a tenth of the sides lies in one of the tiles, wherever it is, and all tiles lie in the image."""
    tiles = tiles_in((4000, 3000), most, 640)
    little = 1e-9
    assert all(0 <= each.top < each.bottom <= 1 and 0 <= each.left < each.right <= 1 for each in tiles)
    assert any(
        each.left <= left + little
        and each.top <= top + little
        and each.right >= left + OVERLAP - little
        and each.bottom >= top + OVERLAP - little
        for each in tiles
    )


@pytest.mark.parametrize("shrunk", [1, 1.3, 2.5])
def test_detections_come_back_to_where_they_were_in_the_image(shrunk: float) -> None:
    """To the pixel, of each tile and with every shrinking: the left upper pixel of the box is that of the image."""
    image = image_of(*SIZE, shrunk)
    height, width, _ = image.pixels.shape
    for tile in tiles_in(SIZE, 3, 640):
        crop = tile.crop(image)
        rows, columns, _ = crop.shape
        box = np.array([[20 / rows, 30 / columns, 60 / rows, 90 / columns]], np.float32)
        (back,) = tile.to_image(Detections(box, np.ones(1, np.float32), ("Kite",), ("",), columns, rows), image).boxes
        top, left, bottom, right = np.round(back * [height, width, height, width]).astype(int)
        assert (image.pixels[top, left] == crop[20, 30]).all()
        assert (bottom - top, right - left) == (40, 60)


@pytest.mark.parametrize(
    ("name", "edges", "kept", "why"),
    [
        ("tiles2 1.1", (0.1, 0.1, 0.3, 0.3), True, "amid the tile"),
        ("tiles2 1.1", (0.0, 0.0, 0.3, 0.3), True, "at the border of the image, which cuts nothing that can be seen"),
        ("tiles2 1.1", (0.1, 0.8, 0.3, 1.0), False, "at an inner border: cut, and whole in the next tile or too large for tiles"),
        ("tiles2 1.1", (0.8, 0.1, 0.998, 0.3), False, "as near to it as a detector can tell"),
        ("tiles2 1.1", (0.8, 0.1, 0.98, 0.3), True, "near the border, but whole"),
        ("tiles2 2.2", (0.001, 0.5, 0.2, 0.7), False, "at an inner border above"),
        ("tiles2 2.2", (0.8, 0.8, 1.0, 1.0), True, "at the border of the image below"),
    ],
)  # fmt: skip
def test_cut_objects_are_left_out(name: str, edges: tuple[float, float, float, float], kept: bool, why: str) -> None:
    """A part of an object is no object; the detections that stay know their view, and the size of the image."""
    (tile,) = [each for each in tiles_in(SIZE, 2, 640) if each.name == name]
    found = tile.to_image(detections_of(("Kite", 0.9, edges)), image_of(*SIZE))
    assert found.views == (name,) * kept, why
    assert (found.width, found.height) == SIZE


def test_views_are_joined_by_score() -> None:
    """The best score has the first row, in whichever view it was found; rows keep their view."""
    whole = detections_of(("Kite", 0.9, (0, 0, 1, 1)), ("Box", 0.2, (0, 0, 1, 1)))
    tile = tiles_in(SIZE, 2, 640)[0].to_image(detections_of(("Balloon", 0.5, (0.1, 0.1, 0.2, 0.2))), image_of(*SIZE))
    together = joined([whole, tile])
    assert list(zip(together.class_names, together.views, strict=True)) == [
        ("Kite", ""),
        ("Balloon", "tiles2 1.1"),
        ("Box", ""),
    ]
    assert joined([whole]) is whole
    assert joined([whole, no_detections(SIZE)]) is whole, "tiles without detections change nothing"
    assert together.seen_in(()).class_names == ("Kite", "Box")
    assert together.seen_in(["tiles3"]).class_names == ("Kite", "Box")
    assert together.seen_in(["tiles2"]) is together


def test_joined_views_keep_their_colours() -> None:
    """Those of an entry without colours stay unknown, and the order is that of the scores."""
    old, new = detections_of(("Kite", 0.5, (0, 0, 1, 1))), detections_of(("Kite", 0.9, (0, 0, 1, 1)))
    assert joined([old, new]).colours is None
    coloured = replace(new, colours=np.full((1, 6), 7, np.uint8))
    together = joined([old, coloured]).colours
    assert together is not None
    assert together.tolist() == [[7] * 6, [0] * 6]
