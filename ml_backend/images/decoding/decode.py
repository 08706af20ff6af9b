"""Decodes an image file to the pixels that a browser shows.

The service calls it in separate processes (:mod:`ml_backend.images.decoding.pool`), since a hostile file can take minutes and gigabytes.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from ml_backend.errors import ImageDecodeError, NotAnImageError

# The formats that browsers show, plus TIFF. The list keeps untrusted bytes away from Pillow's rarer decoders. The plugins are imported here,
# since Pillow imports all forty when it needs one that is not. The JPEG plugin reads MPO too: a JPEG followed by another, as phones make them.
FORMATS = tuple(
    plugin.format
    for plugin in (
        JpegImagePlugin.JpegImageFile,
        PngImagePlugin.PngImageFile,
        WebPImagePlugin.WebPImageFile,
        AvifImagePlugin.AvifImageFile,
        GifImagePlugin.GifImageFile,
        BmpImagePlugin.BmpImageFile,
        TiffImagePlugin.TiffImageFile,
    )
)
AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # several images are decoded side by side

# Detectors shrink the longer side to a few hundred pixels; beyond this ratio, the shorter one would have one or two.
MAX_ASPECT_RATIO = 200

# decode() has its own limit; Pillow's is global.
Image.MAX_IMAGE_PIXELS = None


# The version of what decode() makes of a file: EXIF orientation, shrinking, frames, transparency, 8 bits. Raise it with every change that
# may alter pixels: it is part of the keys of cached detections, which would otherwise be those of other pixels.
INPUT_SHAPING = 3

# The operation that sets an image upright, by its EXIF orientation (EXIF 2.32, tag 0x0112).
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = {5, 6, 7, 8}


@dataclass(frozen=True, slots=True, eq=False)
class DecodedImage:
    """A decoded image, in the displayed frame.

    Attributes:
        pixels: uint8 [rows, columns, 3], RGB, shrunk if the image was larger than ``max_side``.
        width, height: of the image at full size, in pixels.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int


def decode(data: bytes | BinaryIO, *, max_pixels: int, max_side: int = 0) -> DecodedImage:
    """Decode an image file as Label Studio displays it.

    EXIF orientation is applied as browsers do (in all formats but WebP), transparency becomes white, animations give their first frame, and
    16-bit samples become 8-bit ones. An image larger than ``max_side`` is shrunk, keeping its proportions. A JPEG is first shrunk to an
    eighth, a quarter or a half while it is decoded, which saves most of the work.

    Args:
        data: an image file in one of :data:`FORMATS`, as bytes or an open file.
        max_pixels: limit of width x height.
        max_side: limit of the longer side of the returned pixels; 0 for none.

    Raises:
        NotAnImageError: the bytes have no known image format.
        ImageDecodeError: the image is broken, has too many pixels, or is too narrow.
        MemoryError: decoding takes more memory than the process may allocate.
    """
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    try:
        with Image.open(file, formats=FORMATS) as image:
            width, height = image.size
            _check_size(width, height, max_pixels)
            size = _size_within(width, height, max_side)
            _, box = image.draft(None, size) or (None, None)
            image.load()
            orientation = _orientation(image)
            shown = _to_rgb(image, size, box)
            if orientation in _TURNS:
                shown = shown.transpose(_TURNS[orientation])
            if orientation in _SIDEWAYS:
                width, height = height, width
            return DecodedImage(np.asarray(shown), width, height)
    except (ImageDecodeError, MemoryError):
        raise
    except UnidentifiedImageError:
        file.seek(0)
        raise NotAnImageError(_describe_content(file.read(256))) from None
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, … on broken files
        raise ImageDecodeError(f"the image is broken or truncated: {error}") from error


def _size_within(width: int, height: int, max_side: int) -> tuple[int, int]:
    if not max_side or max(width, height) <= max_side:
        return width, height
    shrink = max_side / max(width, height)
    return max(1, round(width * shrink)), max(1, round(height * shrink))


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise ImageDecodeError(f"the image has no pixels: {width} x {height}")
    if width * height > max_pixels:
        raise ImageDecodeError(
            f"the image is {width} x {height} = {width * height:,} pixels; the limit is {max_pixels:,} (PRELABEL_IMAGE_MAX_PIXELS)"
        )
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        raise ImageDecodeError(
            f"the image is {width} x {height} pixels, too narrow to detect anything on (one side over {MAX_ASPECT_RATIO} x the other)"
        )


def _orientation(image: Image.Image) -> int:
    # Chromium 150 applies the orientation of JPEG, PNG and AVIF, but not that of WebP, and does not show TIFF.
    if image.format == "WEBP":
        return 1
    # Not with getexif(), which takes the orientation from XMP if EXIF has none; browsers do not.
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
        return int(exif.get(_ORIENTATION, 1))
    except Exception:
        return 1  # broken metadata


def _to_rgb(image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float] | None) -> Image.Image:
    # The last row and column of a JPEG that was shrunk while it was decoded may lie partly outside the image; ``box`` is the image.
    whole = (0, 0, *image.size)
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_8_bit(image)
    transparent = image.has_transparency_data
    mode = "RGBA" if transparent else "L" if image.mode == "L" else "RGB"
    if image.mode != mode:  # a copy of a large image costs as much memory as the image
        image = image.convert(mode)
    if image.size != size or (box or whole) != whole:
        if transparent:
            image = image.convert("RGBa")  # as Pillow resizes RGBA, which then leaves out reducing_gap
        image = image.resize(size, Image.Resampling.BILINEAR, box, reducing_gap=2)
    if transparent:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


STRIP = 64  # rows that are converted to 8 bits at once: the whole image as floating-point numbers would take four times its memory


def _to_8_bit(image: Image.Image) -> Image.Image:
    # Pillow's own conversion clips at 255. Mode I;16 holds 16-bit samples, of which screens show the high byte. Mode I (TIFF) holds 32-bit
    # integers, taken as 8-bit samples if none is larger, else as 16-bit ones. Mode F (TIFF) has no defined range, so the range of the image
    # becomes that of the 8 bits.
    low, high = np.float32(0), np.float32(65535)
    if image.mode == "F":
        ends = [(np.nanmin(strip), np.nanmax(strip)) for _, strip in _strips(image)]
        low, high = min(low for low, _ in ends), max(high for _, high in ends)
    elif image.mode == "I" and max(strip.max() for _, strip in _strips(image)) <= 255:
        high = np.float32(255)
    scale = np.float32(255 / (float(high) - float(low)) if high > low else 0)
    shown = Image.new("L", image.size)
    for top, strip in _strips(image):
        samples = np.nan_to_num((strip - low) * scale).clip(0, 255).round().astype(np.uint8)
        shown.paste(Image.fromarray(samples), (0, top))
    return shown


def _strips(image: Image.Image) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the top row and the samples of each strip of an image, float32 [rows, columns]."""
    for top in range(0, image.height, STRIP):
        box = (0, top, image.width, min(top + STRIP, image.height))
        yield top, np.asarray(image.crop(box), dtype=np.float32)


def _describe_content(data: bytes) -> str:
    if not data:
        return "the image is empty: 0 bytes"
    start = data.lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "it is an HTML page, not an image: often a login or error page (is a token or a permission missing?)"
    if start.startswith((b"<?xml", b"<svg")):
        return "it is XML or SVG, not an image made of pixels"
    if start.startswith((b"{", b"[")):
        return "it is JSON, not an image"
    return (
        f"the bytes are not a known image format (expected one of {', '.join(FORMATS)}); they start with {data[:8]!r}"
    )
