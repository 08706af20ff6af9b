import numpy as np
import pytest

from ml_backend.images.drawing import colour_of, draw_regions
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


def test_box_lies_where_the_region_says() -> None:
    """The edge is in the label's colour, inside and outside are untouched."""
    drawn = draw_regions(np.full((100, 200, 3), 255, np.uint8), [region(50, 50, 40, 40)])
    colour = tuple(bytes.fromhex(colour_of("Car")[1:]))
    assert drawn.getpixel((100, 70)) == colour
    assert drawn.getpixel((180, 70)) == colour
    assert drawn.getpixel((140, 90)) == colour
    assert drawn.getpixel((140, 70)) == drawn.getpixel((20, 20)) == (255, 255, 255)


@pytest.mark.parametrize("where", [(0, 0, 100, 100), (95, 0, 5, 5), (0, 99, 1, 1)], ids=["all", "corner", "a dot"])
def test_captions_stay_on_the_picture(where: tuple[float, float, float, float]) -> None:
    """Boxes at the borders are drawn without an error, also with long names."""
    drawn = draw_regions(np.zeros((60, 90, 3), np.uint8), [region(*where, label="Vehicle registration plate")])
    assert drawn.size == (90, 60)


def test_the_given_pixels_stay_as_they_are() -> None:
    """Drawing makes a picture of its own."""
    pixels = np.zeros((60, 90, 3), np.uint8)
    draw_regions(pixels, [region(10, 10, 50, 50)])
    assert not pixels.any()
