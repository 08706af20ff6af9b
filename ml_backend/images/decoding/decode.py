"""Decodes an image file to the pixels that a browser would show.

The service decodes in processes of its own (:mod:`ml_backend.images.decoding.pool`), since one hostile file can take minutes and gigabytes.
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

# The formats that browsers show, plus TIFF. A closed list keeps Pillow's rarer decoders away from bytes that anybody may have sent.
# Pillow imports all its forty plugins where one of these is not imported yet.
# MPO, a JPEG with a second picture behind it, as many phones make, is read by the JPEG decoder.
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

# Detectors shrink the longer side to a few hundred pixels; past this ratio the shorter one would come to nothing.
MAX_ASPECT_RATIO = 200

# The pixel limit is a setting here and is checked before any pixel is decoded; Pillow's own, global one would only get in its way.
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
    """A decoded picture, in the displayed frame.

    Attributes:
        pixels: uint8 [height, width, 3], RGB, perhaps fewer of them than the file has.
        width, height: that the file has, in pixels.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int


def decode(data: bytes | BinaryIO, *, max_pixels: int, max_side: int = 0) -> DecodedImage:
    """Decode an image file as Label Studio displays it.

    EXIF orientation is applied where browsers do (all formats but WebP), transparency is laid on white, animations give their first frame, and 16-bit pictures
    are brought to 8 bits. A picture that is larger than ``max_side`` is shrunk, keeping its proportions: a JPEG already while it is decoded, to an
    eighth, a quarter or a half, which saves most of the work; and then to size, smoothly.

    Args:
        data: an image file in one of :data:`FORMATS`, as bytes or opened; the content decides, not a name.
        max_pixels: the most pixels (width x height) that are decoded.
        max_side: the longer side of what is returned, in pixels; 0 for that of the file.

    Raises:
        NotAnImageError: the bytes have no known image format.
        ImageDecodeError: the image is truncated, has too many pixels or is too narrow to detect anything on.
        MemoryError: the process may not allocate what decoding takes.
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
        raise NotAnImageError(_describe_stranger(file.read(256))) from None
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
    # Seen in Chromium 150: JPEG, PNG and AVIF are shown upright, WebP as it is stored. (TIFF is not shown at all.)
    if image.format == "WEBP":
        return 1
    # Read anew, since Pillow's own reading takes the orientation from XMP where EXIF has none; browsers do not.
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
        return int(exif.get(_ORIENTATION, 1))
    except Exception:
        return 1  # broken metadata


def _to_rgb(image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float] | None) -> Image.Image:
    # A JPEG that was shrunk while it was decoded has a last row and column that lie partly outside the picture: ``box`` does not.
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


STRIP = 64  # rows that are converted to 8 bits at once, so that no second image of floating-point numbers is in memory


def _to_8_bit(image: Image.Image) -> Image.Image:
    # Pillow's own conversion clips at 255. Mode I;16 holds 16-bit samples, whose high byte is what a screen shows. Mode I (TIFF) holds
    # 32-bit integers, which are read as 8-bit samples where none is larger than that, else as 16-bit ones. Mode F (TIFF) has no agreed
    # range, so that of the image is spread over the 8 bits.
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


def _describe_stranger(data: bytes) -> str:
    if not data:
        return "the image is empty: 0 bytes"
    start = data.lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return (
            "what came is an HTML page, not an image: often a login or error page (is a token or a permission missing?)"
        )
    if start.startswith((b"<?xml", b"<svg")):
        return "what came is XML or SVG, not a picture made of pixels"
    if start.startswith((b"{", b"[")):
        return "what came is JSON, not an image"
    return (
        f"the bytes are not a known image format (expected one of {', '.join(FORMATS)}); they start with {data[:8]!r}"
    )
