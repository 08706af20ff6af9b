import hashlib

import numpy as np
import pytest
from PIL import Image
from samples import STORED_BY, encoded, stored_as

from ml_backend.errors import ImageDecodeError
from ml_backend.images.decoding.decode import INPUT_SHAPING, decode

RED, WHITE, BLACK, GREY = (255, 0, 0), (255, 255, 255), (0, 0, 0), (128, 128, 128)


def pixel(data: bytes, x: int = 1, y: int = 1) -> tuple[int, ...]:
    """Return one decoded pixel."""
    return tuple(int(channel) for channel in decode(data, max_pixels=10_000).pixels[y, x])


def solid(mode: str, colour: float | tuple[int, ...]) -> Image.Image:
    """Return a small picture of one colour."""
    return Image.new(mode, (8, 6), colour)


def palette_with_transparency() -> bytes:
    """Return a palette picture whose only colour is fully transparent."""
    return encoded(solid("P", 0), transparency=0)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (encoded(solid("RGB", RED)), RED),
        (encoded(solid("L", 128)), GREY),
        (encoded(solid("1", 1)), WHITE),
        (encoded(solid("1", 0)), BLACK),
        (encoded(solid("LA", (128, 255))), GREY),
        (encoded(solid("LA", (0, 0))), WHITE),
        (encoded(solid("RGBA", (255, 0, 0, 255))), RED),
        (encoded(solid("RGBA", (0, 0, 0, 0))), WHITE),
        (encoded(solid("RGBA", (255, 0, 0, 128))), (255, 127, 127)),
        (palette_with_transparency(), WHITE),
        (encoded(solid("CMYK", (0, 255, 255, 0)), "TIFF"), RED),
        (encoded(solid("I;16", 32896)), GREY),
        (encoded(solid("I;16", 65535), "TIFF"), WHITE),
        (encoded(solid("I", 32896), "TIFF"), GREY),
    ],
    ids=[
        "RGB",
        "grey",
        "1-bit white",
        "1-bit black",
        "grey, opaque",
        "grey, transparent: white shows",
        "RGBA, opaque",
        "RGBA, transparent: white shows",
        "RGBA, half: mixed with white",
        "palette, transparent: white shows",
        "CMYK",
        "16-bit PNG",
        "16-bit TIFF",
        "32-bit TIFF with 16-bit values",
    ],
)
def test_every_mode_becomes_the_rgb_that_a_browser_shows(data: bytes, expected: tuple[int, ...]) -> None:
    """Transparency lies on white, deep pictures keep their brightness."""
    assert pixel(data) == expected


def test_dark_16_bit_picture_stays_dark() -> None:
    """A 16-bit picture with small values only is nearly black on a screen; its values are not those of 8 bits."""
    assert pixel(encoded(solid("I;16", 200))) == (1, 1, 1)


def test_floating_point_tiff_is_spread_over_its_own_range() -> None:
    """It has no agreed range, so darkest is black and brightest white."""
    samples = np.linspace(-3, 7, 48, dtype=np.float32).reshape(6, 8)
    decoded = decode(encoded(Image.fromarray(samples), "TIFF"), max_pixels=100).pixels
    assert (decoded.min(), decoded.max()) == (0, 255)


@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        ("PNG", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("WEBP", {}),
        ("AVIF", {}),
        ("GIF", {}),
        ("BMP", {}),
        ("TIFF", {}),
    ],
    ids=["png", "jpeg", "progressive jpeg", "webp", "avif", "gif", "bmp", "tiff"],
)
def test_every_format_is_read(file_format: str, options: dict[str, object]) -> None:
    """The formats that browsers show, plus TIFF."""
    decoded = decode(encoded(solid("RGB", RED), file_format, **options), max_pixels=100).pixels
    assert decoded.shape == (6, 8, 3)
    assert decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - RED).max() <= 3


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG"])
def test_animations_give_their_first_frame(file_format: str) -> None:
    """It is what stands still when the annotator looks."""
    frames = [solid("RGB", RED), solid("RGB", BLACK)]
    data = encoded(frames[0], file_format, save_all=True, append_images=frames[1:], duration=100, lossless=True)
    assert pixel(data) == RED


@pytest.mark.parametrize("orientation", STORED_BY)
def test_every_exif_orientation_is_undone(orientation: int) -> None:
    """Whatever way a picture is stored, the displayed one comes out."""
    upright = Image.fromarray(np.arange(8 * 6 * 3, dtype=np.uint8).reshape(6, 8, 3))
    decoded = decode(stored_as(orientation, upright, "PNG"), max_pixels=100).pixels
    np.testing.assert_array_equal(decoded, np.asarray(upright))


@pytest.mark.parametrize(
    ("file_format", "shape"),
    [("JPEG", (6, 8)), ("PNG", (6, 8)), ("AVIF", (6, 8)), ("TIFF", (6, 8)), ("WEBP", (8, 6))],
)
def test_orientation_is_applied_in_the_formats_that_browsers_turn(file_format: str, shape: tuple[int, int]) -> None:
    """They show WebP as it is stored; `tests/e2e/test_browser.py` asks one."""
    data = stored_as(6, solid("RGB", RED), file_format)
    assert decode(data, max_pixels=100).pixels.shape == (*shape, 3)


def test_orientation_in_xmp_alone_is_passed_over() -> None:
    """Browsers do not read it, so the annotator sees the picture as it is stored."""
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><tiff:Orientation>6</tiff:Orientation></x:xmpmeta>'
    data = encoded(solid("RGB", RED), "JPEG", xmp=xmp)
    assert decode(data, max_pixels=100).pixels.shape == (6, 8, 3)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_orientation_in_xmp_is_passed_over_beside_exif_without_one(file_format: str) -> None:
    """A camera writes who it is into EXIF, and another program turns the picture in XMP."""
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><tiff:Orientation>6</tiff:Orientation></x:xmpmeta>'
    data = encoded(solid("RGB", RED), file_format, exif=exif.tobytes(), xmp=xmp)
    assert decode(data, max_pixels=100).pixels.shape == (6, 8, 3)


@pytest.mark.parametrize("width", [1281, 2567, 5121, 5127])
def test_what_is_at_the_edge_stays_there(width: int) -> None:
    """A JPEG that is shrunk by eight is rounded up: the part that is no picture is left out, or boxes would be off by it."""
    picture = np.zeros((64, width, 3), np.uint8)
    picture[:, width - 100 :] = 255
    decoded = decode(encoded(Image.fromarray(picture), "JPEG", quality=95), max_pixels=10**6, max_side=640).pixels
    edge = 640 - (decoded[5, :, 0] > 127).sum()
    assert edge * width / 640 == pytest.approx(width - 100, abs=width / 640)


def test_broken_exif_is_passed_over() -> None:
    """Browsers show such a picture as it is stored."""
    assert pixel(encoded(solid("RGB", RED), exif=b"Exif\0\0II*\0\xff\xff\xff\xff")) == RED


def png_header(width: int, height: int) -> bytes:
    """Return the first bytes of a PNG that claims a size and holds nothing."""
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty: 0 bytes"),
        (b"\n<!DOCTYPE html><title>Log in</title>", "HTML page"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b'{"detail": "Not found"}', "JSON"),
        (b"hello, this is text", "not a known image format"),
        (b"%PDF-1.7", "not a known image format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a known image format"),
        (encoded(solid("RGB", RED))[:-30], "broken or truncated"),
        (encoded(Image.effect_noise((64, 64), 50), "JPEG")[:800], "broken or truncated"),
        (png_header(50_000, 50_000), r"50000 x 50000 = 2,500,000,000 pixels; the limit is 10,000 \(PRELABEL_IMAGE_MAX"),
        (png_header(0, 10), "not a known image format|no pixels|broken"),
        (encoded(solid("RGB", RED).resize((4000, 1))), "4000 x 1 pixels, too narrow"),
        (encoded(solid("RGB", RED).resize((1, 4000))), "1 x 4000 pixels, too narrow"),
    ],
    ids=[
        "empty",
        "HTML instead of an image",
        "SVG",
        "JSON",
        "text with an image's name",
        "PDF",
        "PostScript",
        "truncated PNG",
        "truncated JPEG",
        "decompression bomb",
        "zero pixels",
        "a line, lying",
        "a line, standing",
    ],
)
def test_what_is_no_picture_says_what_it_is(data: bytes, words: str) -> None:
    """One sentence, before any memory is spent on pixels."""
    with pytest.raises(ImageDecodeError, match=words):
        decode(data, max_pixels=10_000)


@pytest.mark.parametrize("orientation", STORED_BY)
@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_large_picture_is_shrunk_in_the_displayed_frame(file_format: str, orientation: int) -> None:
    """Its size is told as it is, also where the shrunk one is square by rounding; red stays at the left."""
    upright = Image.new("RGB", (1001, 1000), "white")
    upright.paste(RED, (0, 0, 300, 1000))
    picture = decode(stored_as(orientation, upright, file_format), max_pixels=2_000_000, max_side=100)
    assert (picture.width, picture.height) == (1001, 1000)
    assert picture.pixels.shape == (100, 100, 3)
    np.testing.assert_allclose(picture.pixels[50, [5, 25, 35, 95]], [RED, RED, WHITE, WHITE], atol=4)


@pytest.mark.parametrize(
    ("size", "max_side", "expected"),
    [
        ((640, 480), 640, (640, 480)),
        ((641, 480), 640, (640, 479)),
        ((480, 1280), 640, (240, 640)),
        ((4000, 20), 640, (640, 3)),
        ((4000, 3000), 0, (4000, 3000)),
        ((3000, 15), 100, (100, 1)),
    ],
    ids=["fits", "just not", "upright", "narrow", "no limit", "hardly anything left"],
)
@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_proportions_are_kept(
    size: tuple[int, int], max_side: int, expected: tuple[int, int], file_format: str
) -> None:
    """The longer side is the limit, and no side comes to nothing."""
    picture = decode(encoded(Image.new("RGB", size), file_format), max_pixels=20_000_000, max_side=max_side)
    assert picture.pixels.shape == (expected[1], expected[0], 3)
    assert (picture.width, picture.height) == size


@pytest.mark.parametrize("mode", ["L", "P", "1", "RGBA", "LA", "CMYK", "I;16", "F"])
def test_every_mode_can_be_shrunk(mode: str) -> None:
    """Transparency does not bleed: what nobody sees has no colour."""
    image = Image.new("F", (400, 300), 1.0) if mode == "F" else Image.new("RGB", (400, 300), "white").convert(mode)
    if mode in {"RGBA", "LA"}:
        image.paste((0, 0, 0, 0) if mode == "RGBA" else (0, 0), (0, 0, 200, 300))  # black, and transparent
    picture = decode(encoded(image, "TIFF"), max_pixels=200_000, max_side=40)
    assert picture.pixels.shape == (30, 40, 3)
    assert picture.pixels.min() == picture.pixels.max()


def test_large_jpeg_is_never_decoded_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """An eighth of 4,000 x 3,000 is enough for 400: the pixels between are never made."""
    sizes = []
    load = Image.Image.load

    def spy(image: Image.Image) -> object:
        sizes.append(image.size)
        return load(image)

    data = encoded(Image.new("RGB", (4000, 3000)), "JPEG")
    monkeypatch.setattr(Image.Image, "load", spy)
    decode(data, max_pixels=20_000_000, max_side=400)
    assert max(sizes) == (500, 375)


def test_version_of_the_input_shaping_rises_with_every_change_of_pixels() -> None:
    """Lossless files of every kind have the pixels recorded for this version: raise INPUT_SHAPING before recording others."""
    shades = np.random.default_rng(1).integers(0, 256, (90, 120, 4), np.uint8)
    upright = Image.fromarray(shades[..., :3])
    files = [
        *(stored_as(orientation, upright, "PNG") for orientation in STORED_BY),
        stored_as(6, upright, "WEBP", lossless=True),
        encoded(Image.fromarray(shades)),
        encoded(Image.fromarray(shades[..., 0].astype(np.uint16) * 256)),
    ]
    digest = hashlib.sha256()
    for file in files:
        for max_side in (0, 64):
            digest.update(decode(file, max_pixels=20_000, max_side=max_side).pixels.tobytes())
    assert {INPUT_SHAPING: digest.hexdigest()} == {
        3: "38c1ed107091262c6c3355c55005a929f48ba793aa255528cbf408106eeee890"
    }
