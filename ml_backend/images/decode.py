"""From the bytes of an image file to the pixels that a browser would show."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ml_backend.errors import ImageDecodeError

# What annotators' browsers show, plus TIFF. A closed list keeps Pillow's rarer decoders away from bytes that anybody may have sent.
# MPO, a JPEG with a second picture behind it, as many phones make, is read by the JPEG decoder.
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")

# Detectors shrink the longer side to a few hundred pixels; past this ratio the shorter one would come to nothing.
MAX_ASPECT_RATIO = 200

# The pixel limit is a setting here and is checked before any pixel is decoded; Pillow's own, global one would only get in its way.
Image.MAX_IMAGE_PIXELS = None


# How a picture is stored, by the EXIF orientation that says so (EXIF 2.32, tag 0x0112), and what sets it upright.
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
class Picture:
    """A decoded picture, in the displayed frame.

    Attributes:
        pixels: uint8 [height, width, 3], RGB, perhaps fewer of them than the file has.
        width, height: that the file has, in pixels.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int


def decode(data: bytes, *, max_pixels: int, max_side: int = 0) -> Picture:
    """Decode an image file as Label Studio displays it.

    EXIF orientation is applied where browsers do (all formats but WebP), transparency is laid on white, animations give their first frame, and 16-bit pictures
    are brought to 8 bits. A picture that is larger than ``max_side`` is shrunk, keeping its proportions: a JPEG already while it is decoded, to an
    eighth, a quarter or a half, which saves most of the work; and then to size, smoothly.

    Args:
        data: the bytes of the file, in one of :data:`FORMATS`; the content decides, not a name.
        max_pixels: the most pixels (width x height) that are decoded.
        max_side: the longer side of what is returned, in pixels; 0 for that of the file.

    Raises:
        ImageDecodeError: not an image, truncated, empty, too many pixels or too narrow to detect anything on.
    """
    if not data:
        raise ImageDecodeError("the image is empty: 0 bytes")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
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
            return Picture(np.asarray(shown), width, height)
    except ImageDecodeError:
        raise
    except UnidentifiedImageError:
        raise ImageDecodeError(_describe_stranger(data)) from None
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
    if transparent or image.mode not in {"L", "RGB"}:
        image = image.convert("RGBA" if transparent else "RGB")
    if image.size != size or (box or whole) != whole:
        image = image.resize(size, Image.Resampling.BILINEAR, box, reducing_gap=2)
    if transparent:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _to_8_bit(image: Image.Image) -> Image.Image:
    # Pillow's own conversion clips at 255. Modes I;16* and I hold 16-bit samples, whose high byte is what a screen shows;
    # F (floating-point TIFF) has no agreed range, so its own is spread over the 8 bits.
    samples = np.asarray(image, dtype=np.float32)
    if image.mode == "F":
        low, high = float(np.nanmin(samples)), float(np.nanmax(samples))
        samples = (samples - low) * np.float32(255 / (high - low) if high > low else 0)
    elif samples.max() > 255:
        samples = samples / np.float32(257)
    return Image.fromarray(np.nan_to_num(samples).clip(0, 255).round().astype(np.uint8))


def _describe_stranger(data: bytes) -> str:
    start = data[:256].lstrip().lower()
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
