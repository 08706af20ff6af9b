"""Images made to cost much or to break decoders: named ones for single tests, and a corpus of mutations by seed."""

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

FORMATS: dict[str, tuple[dict[str, Any], ...]] = {
    "JPEG": ({"quality": 80}, {"progressive": True}, {"subsampling": 0, "progressive": True}),
    "PNG": ({}, {"compress_level": 0}),
    "WEBP": ({}, {"lossless": True}),
    "AVIF": ({"speed": 10},),
    "GIF": ({},),
    "BMP": ({},),
    "TIFF": ({}, {"compression": "tiff_lzw"}, {"compression": "jpeg"}, {"compression": "tiff_adobe_deflate"}),
}


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    """Return an image as the bytes of a file."""
    packed = io.BytesIO()
    image.save(packed, file_format, **options)
    return packed.getvalue()


@cache
def photograph(seed: int = 0, width: int = 320, height: int = 240) -> Image.Image:
    """Return a picture with edges and textures, so that files of it exercise the decoders."""
    noise = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def segments(jpeg: bytes) -> Iterator[tuple[int, int]]:
    """Yield the place and the marker of each segment of a JPEG."""
    place = 2
    while place < len(jpeg) - 1:
        if jpeg[place] == 0xFF and jpeg[place + 1] not in {0x00, 0xFF} and not 0xD0 <= jpeg[place + 1] <= 0xD7:
            yield place, jpeg[place + 1]
            if jpeg[place + 1] == 0xD9:
                return
            place += 2 + struct.unpack(">H", jpeg[place + 2 : place + 4])[0]
        else:
            place += 1


def repeated_scans(side: int = 7000, times: int = 2937) -> bytes:
    """Return a grayscale progressive JPEG whose last scan comes again and again: half a megabyte that takes minutes."""
    jpeg = encoded(Image.new("L", (side, side), 90), "JPEG", progressive=True, quality=30)
    end = jpeg.rindex(b"\xff\xd9")
    last = max(place for place, marker in segments(jpeg) if marker == 0xDA)
    return jpeg[:end] + jpeg[last:end] * times + jpeg[end:]


def padded_markers(size: int = 20_000_000) -> bytes:
    """Return a JPEG with a long run of fill bytes (0xFF) between two segments."""
    jpeg = encoded(photograph(), "JPEG")
    return jpeg[:2] + b"\xff" * size + jpeg[2:]


def many_segments(count: int = 600, size: int = 65_000) -> bytes:
    """Return a JPEG with many large application segments."""
    jpeg = encoded(photograph(), "JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", size + 2) + b"Exif\0\0".ljust(size, b"\0")
    return jpeg[:2] + segment * count + jpeg[2:]


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG with a right checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def many_chunks(count: int = 1_000_000) -> bytes:
    """Return a PNG with very many chunks of text before its pixels."""
    png = encoded(photograph(), "PNG")
    return png[:33] + chunk(b"tEXt", b"a\0b") * count + png[33:]


def large_solid(file_format: str, side: int = 7000, mode: str = "RGB", **options: Any) -> bytes:
    """Return a very large picture of one colour: few bytes, much memory."""
    return encoded(Image.new(mode, (side, side)), file_format, **options)


def noisy_fax(width: int = 500, rows: int = 99_999) -> bytes:
    """Return a fax TIFF whose every row is broken, so that libtiff complains 98,000 times."""
    tiff = bytearray(encoded(Image.new("1", (width, rows)), "TIFF", compression="group3"))
    with Image.open(io.BytesIO(tiff)) as image:
        assert isinstance(image, TiffImageFile)
        strips = list(zip(image.tag_v2[273], image.tag_v2[279], strict=True))  # StripOffsets, StripByteCounts
    random_ = random.Random(1)  # noqa: S311 - the same files each time
    for place, length in strips:
        tiff[place : place + length] = random_.randbytes(length)
    return bytes(tiff)


def mutated(data: bytes, random_: random.Random) -> bytes:
    """Return the file with a few bytes changed, a part cut out, repeated or filled, or its end missing."""
    changed = bytearray(data)
    for _ in range(random_.randint(1, 8)):
        place = random_.randrange(len(changed))
        length = min(random_.choice((1, 1, 2, 4, 64)), len(changed) - place)
        match random_.randrange(5):
            case 0:
                changed[place : place + length] = random_.randbytes(length)
            case 1:
                changed[place : place + length] = random_.choice((b"\xff", b"\0", b"\x7f")) * length
            case 2:
                changed[place:place] = changed[place : place + length] * random_.choice((1, 2, 50))
            case 3:
                del changed[place : place + length]
            case _:
                # Sizes, offsets and counts stand near the beginning.
                place = random_.randrange(min(len(changed) - 1, 512))
                changed[place : place + 2] = random_.choice((b"\xff\xff", b"\0\0", b"\x7f\xff", b"\x80\0"))
        if len(changed) < 16:
            break
    return bytes(changed[: random_.randint(8, len(changed))] if random_.random() < 0.1 else changed)


NAMED: dict[str, Callable[[], bytes]] = {
    "scans repeated 2,937 times": repeated_scans,
    "20 MB of fill bytes": padded_markers,
    "600 application segments of 65 kB": many_segments,
    "a million chunks": many_chunks,
    "WebP of 49 megapixels in 2 kB": lambda: large_solid("WEBP", lossless=True),
    "PNG of 49 megapixels, 16 bits": lambda: large_solid("PNG", mode="I;16"),
    "PNG of 49 megapixels with transparency": lambda: large_solid("PNG", mode="RGBA"),
    "TIFF of 49 megapixels, floating-point": lambda: large_solid("TIFF", mode="F", compression="tiff_adobe_deflate"),
    "GIF of 49 megapixels": lambda: large_solid("GIF", mode="L"),
    "fax of which every row is broken": noisy_fax,
    "an empty file": lambda: b"",
    "a web page": lambda: b"<!doctype html><title>login</title>",
}


def corpus(count: int, seed: int = 1) -> Iterator[tuple[str, bytes]]:
    """Yield ``count`` hostile files with their names: the named ones, then mutations over all formats, the same for a seed."""
    named = list(NAMED.items())[:count]
    for name, make in named:
        yield name, make()
    random_ = random.Random(seed)  # noqa: S311 - as above
    kinds = [(file_format, options) for file_format, variants in FORMATS.items() for options in variants]
    for number in range(count - len(named)):
        file_format, options = kinds[number % len(kinds)]
        yield (
            f"{file_format} {options} mutated, {number}",
            mutated(encoded(photograph(), file_format, **options), random_),
        )
