"""Pictures and label configs that tests make themselves."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ml_backend.detections import Detections

BALLOON_CONFIG = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
    '<Label value="Balloon"/><Label value="Kite"/><Label value="Box"/></RectangleLabels></View>'
)

ORIENTATION = 0x0112

# How each EXIF orientation stores an upright picture (EXIF 2.32, tag 0x0112): the stored pixels by Pillow's transposition.
STORED_BY = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def stored_as(orientation: int, upright: Image.Image, file_format: str, **options: Any) -> bytes:
    """Return the file of an upright picture that is stored in one of the eight ways, with the EXIF note that says so."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    transposition = STORED_BY[orientation]
    stored = upright if transposition is None else upright.transpose(transposition)
    return encoded(stored, file_format, exif=exif.tobytes(), **options)


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


LARGE = (1600, 1200)  # width and height, in pixels
NEAR, FAR = (
    (300, 900, 60),
    (1500, 200, 18),
)  # centre and half width in pixels; the demo detector sees the far one in tiles only


def large_scene() -> NDArray[np.uint8]:
    """Draw a large grey picture with a near balloon and a far one."""
    width, height = LARGE
    rows, columns = np.mgrid[0:height, 0:width] + 0.5
    pixels = np.full((height, width, 3), 225, np.uint8)
    for x, y, half in (NEAR, FAR):
        pixels[((columns - x) / half) ** 2 + ((rows - y) / (1.3 * half)) ** 2 <= 1] = (214, 20, 40)
    return pixels


def empty_file() -> bytes:
    """Return a PNG file of a grey gradient, on which there is nothing."""
    shade = np.linspace(90, 160, 64, dtype=np.uint8)
    return encoded(Image.fromarray(np.dstack([np.tile(shade, (48, 1))] * 3)))


Row = tuple[str, float, tuple[float, float, float, float]]


def detections_of(*rows: Row, width: int = 640, height: int = 480) -> Detections:
    """Return detections from rows of class name, score and box (ymin, xmin, ymax, xmax, normalized), without MIDs."""
    return Detections(
        boxes=np.array([row[2] for row in rows], np.float32).reshape(-1, 4),
        scores=np.array([row[1] for row in rows], np.float32),
        class_names=tuple(row[0] for row in rows),
        class_mids=("",) * len(rows),
        width=width,
        height=height,
    )
