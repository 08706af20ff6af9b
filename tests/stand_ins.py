"""Images that stand for the photographs of ``tests/recorded``: of their sizes, each with another appearance, always the same bytes."""

import hashlib
from pathlib import Path

from PIL import Image
from samples import encoded

SIZES = {
    "000000000790.jpg": (640, 422),
    "000000037666.jpg": (640, 424),
    "000000054718.jpg": (640, 480),
    "000000072258.jpg": (500, 500),
    "000000078499.jpg": (640, 428),
    "000000084533.jpg": (640, 579),
    "000000125870.jpg": (640, 383),
    "000000129648.jpg": (640, 427),
    "000000163497.jpg": (500, 333),
    "000000252639.jpg": (640, 427),
    "000000281789.jpg": (640, 424),
    "000000332078.jpg": (640, 480),
}
"""Width and height of the photographs, in pixels."""


def write_stand_ins(folder: Path) -> None:
    """Write all of them under the names of the photographs; they are BMP files, whatever the names say."""
    for name in SIZES:
        (folder / name).write_bytes(stand_in(name))


def stand_in(name: str) -> bytes:
    """Return the file that stands for a photograph: 8 x 4 grey rectangles."""
    rectangles = Image.frombytes("L", (8, 4), hashlib.sha256(name.encode()).digest())
    return encoded(rectangles.resize(SIZES[name], Image.Resampling.NEAREST), "BMP")
