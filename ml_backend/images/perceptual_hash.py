"""Perceptual hashes, which differ in few bits for near-duplicates."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HASH_VERSION = "1"  # raise it when the hash of an image changes


def perceptual_hash(pixels: NDArray[np.uint8]) -> int:
    """Return the perceptual hash of an image: 64 bits, which tell the lowest frequencies above their median.

    Args:
        pixels: uint8 [height, width, 3], RGB, in the displayed frame.
    """
    import imagehash  # imports SciPy, which takes half a second and which a server does not need

    image = Image.fromarray(pixels)
    # Averaged to about twice the size that the hash uses, which is three times as fast as resizing the whole image.
    bits = imagehash.phash(image.reduce(max(1, min(image.size) // 64))).hash
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
