import numpy as np
import pytest
from PIL import Image

from ml_backend.images.drawing import draw_regions, with_legend
from ml_backend.label_studio.regions import Region


def region(x: float, y: float, width: float, height: float, label: str = "Car", score: float = 0.9) -> Region:
    """Return a region in percent."""
    return {
        "id": "1",
        "from_name": "label",
        "to_name": "image",
        "type": "rectanglelabels",
        "original_width": 200,
        "original_height": 100,
        "image_rotation": 0,
        "value": {"x": x, "y": y, "width": width, "height": height, "rotation": 0, "rectanglelabels": [label]},
        "score": score,
    }


RED = {"Car": "#ff0000", "Vehicle registration plate": "#ff0000"}


def test_box_lies_where_the_region_says() -> None:
    """The edge is in the label's colour, inside and outside are untouched."""
    drawn = draw_regions(np.full((100, 200, 3), 255, np.uint8), [region(50, 50, 40, 40)], RED)
    colour = (255, 0, 0)
    assert drawn.getpixel((100, 70)) == colour
    assert drawn.getpixel((180, 70)) == colour
    assert drawn.getpixel((140, 90)) == colour
    assert drawn.getpixel((140, 70)) == drawn.getpixel((20, 20)) == (255, 255, 255)


@pytest.mark.parametrize("where", [(0, 0, 100, 100), (95, 0, 5, 5), (0, 99, 1, 1)], ids=["all", "corner", "a dot"])
def test_captions_stay_on_the_picture(where: tuple[float, float, float, float]) -> None:
    """Boxes at the borders are drawn without an error, also with long names."""
    drawn = draw_regions(np.zeros((60, 90, 3), np.uint8), [region(*where, label="Vehicle registration plate")], RED)
    assert drawn.size == (90, 60)


def test_the_given_pixels_stay_as_they_are() -> None:
    """Drawing makes a picture of its own."""
    pixels = np.zeros((60, 90, 3), np.uint8)
    draw_regions(pixels, [region(10, 10, 50, 50)], RED)
    assert not pixels.any()


@pytest.mark.parametrize(
    ("size", "line"), [((60, 90), 2), ((480, 640), 2), ((3000, 4000), 12)], ids=["small", "usual", "large"]
)
def test_lines_grow_with_the_image(size: tuple[int, int], line: int) -> None:
    """A box's line is 2 pixels wide, or a 320th of the image."""
    drawn = np.asarray(draw_regions(np.full((*size, 3), 255, np.uint8), [region(40, 40, 50, 50)], RED))
    row = drawn[round(0.6 * size[0]), : round(0.6 * size[1])]
    assert (row == (255, 0, 0)).all(axis=1).sum() == line


def test_small_box_is_not_filled_by_its_line() -> None:
    """Of a box of ten pixels in a large image, the middle stays visible."""
    drawn = draw_regions(np.full((3000, 4000, 3), 255, np.uint8), [region(50, 50, 0.25, 0.34)], RED)
    assert drawn.getpixel((2005, 1505)) == (255, 255, 255)


def test_images_narrower_than_a_letter_are_drawn() -> None:
    """Three pixels are no place for a caption."""
    assert draw_regions(np.zeros((3, 3, 3), np.uint8), [region(0, 0, 100, 100)], RED).size == (3, 3)


def test_each_box_has_the_colour_of_its_label() -> None:
    """On its edge."""
    colours = {"Car": "#ff0000", "Kite": "#00ff00"}
    regions = [region(10 + 50 * place, 50, 30, 40, label) for place, label in enumerate(colours)]
    drawn = draw_regions(np.full((100, 200, 3), 255, np.uint8), regions, colours)
    assert [drawn.getpixel((20 + 100 * place, 70)) for place in range(2)] == [(255, 0, 0), (0, 255, 0)]


def test_legend_stands_below_the_image() -> None:
    """Each colour with its meaning, in as many rows as it needs; the image stays as it is."""
    image = Image.new("RGB", (200, 100), "#123456")
    entries = [("#ff0000", "below the threshold"), ("#00ff00", "suppressed"), ("#0000ff", "shown")]
    one, all_three = (np.asarray(with_legend(image, each)) for each in (entries[:1], entries))
    assert all_three.shape[0] > one.shape[0] > 100
    assert (all_three[:100] == image).all()
    found = [(all_three == tuple(bytes.fromhex(colour[1:]))).all(axis=2) for colour, _ in entries]
    assert all(where[100:].sum() > 50 for where in found)
    assert with_legend(image, []) is image
