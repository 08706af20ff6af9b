"""Pictures and label configs that tests make themselves."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

BALLOON_CONFIG = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
    '<Label value="Balloon"/><Label value="Kite"/><Label value="Box"/></RectangleLabels></View>'
)


def encoded(image: Image.Image, file_format: str = "PNG", **options: Any) -> bytes:
    """Return the bytes of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def balloon_scene(width: int = 320, height: int = 200) -> NDArray[np.uint8]:
    """Draw a grey picture with one red balloon: its box is x 40 to 100, y 50 to 130."""
    rows, columns = np.mgrid[0:height, 0:width] + 0.5
    inside = ((columns - 70) / 30) ** 2 + ((rows - 90) / 40) ** 2 <= 1
    pixels = np.full((height, width, 3), 225, np.uint8)
    pixels[inside] = (214, 20, 40)
    return pixels


def balloon_file() -> bytes:
    """Return :func:`balloon_scene` as a PNG file."""
    return encoded(Image.fromarray(balloon_scene()))
