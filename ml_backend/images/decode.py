"""From the bytes of an image file to the pixels that a browser would show."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from ml_backend.errors import ImageDecodeError

# What annotators' browsers show, plus TIFF. A closed list keeps Pillow's rarer decoders away from bytes that anybody may have sent.
# MPO, a JPEG with a second picture behind it, as many phones make, is read by the JPEG decoder.
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")

# Detectors shrink the longer side to a few hundred pixels; past this ratio the shorter one would come to nothing.
MAX_ASPECT_RATIO = 200

# The pixel limit is a setting here and is checked before any pixel is decoded; Pillow's own, global one would only get in its way.
Image.MAX_IMAGE_PIXELS = None


def decode(data: bytes, *, max_pixels: int) -> NDArray[np.uint8]:
    """Decode an image file as Label Studio displays it.

    EXIF orientation is applied where browsers do (all formats but WebP), transparency is laid on white, animations give their first frame, and 16-bit pictures
    are brought to 8 bits.

    Args:
        data: the bytes of the file, in one of :data:`FORMATS`; the content decides, not a name.
        max_pixels: the most pixels (width x height) that are decoded.

    Returns:
        uint8 [height, width, 3], RGB, in the displayed frame.

    Raises:
        ImageDecodeError: not an image, truncated, empty, too many pixels or too narrow to detect anything on.
    """
    if not data:
        raise ImageDecodeError("the image is empty: 0 bytes")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_size(image.width, image.height, max_pixels)
            return np.asarray(_to_rgb(_upright(image)))
    except ImageDecodeError:
        raise
    except UnidentifiedImageError:
        raise ImageDecodeError(_describe_stranger(data)) from None
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, … on broken files
        raise ImageDecodeError(f"the image is broken or truncated: {error}") from error


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


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    # Seen in Chromium 150: JPEG, PNG and AVIF are shown upright, WebP as it is stored. (TIFF is not shown at all.)
    if image.format == "WEBP":
        return image
    # Pillow takes the orientation from XMP where EXIF has none; browsers do not.
    for xmp in ("xmp", "XML:com.adobe.xmp"):
        image.info.pop(xmp, None)
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_8_bit(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _to_8_bit(image: Image.Image) -> Image.Image:
    # Pillow's own conversion clips at 255. Modes I;16* and I hold 16-bit samples, whose high byte is what a screen shows;
    # F (floating-point TIFF) has no agreed range, so its own is spread over the 8 bits.
    samples = np.asarray(image, dtype=np.float64)
    if image.mode == "F":
        low, high = float(np.nanmin(samples)), float(np.nanmax(samples))
        samples = (samples - low) * (255 / (high - low) if high > low else 0)
    elif samples.max() > 255:
        samples = samples / 257
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
