"""What a picture looks like, as one number: near-duplicates have numbers that differ in few bits."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HASH_VERSION = "1"  # raise when the hash of a picture changes


def perceptual_hash(pixels: NDArray[np.uint8]) -> int:
    """Return the perceptual hash of a picture: 64 bits, the signs of its lowest frequencies about their median.

    Args:
        pixels: uint8 [height, width, 3], RGB, in the displayed frame.
    """
    import imagehash  # with SciPy below it, half a second that a server need not wait for

    image = Image.fromarray(pixels)
    # To about twice what the hash looks at, by averaging: three times as fast as letting it shrink the whole picture.
    bits = imagehash.phash(image.reduce(max(1, min(image.size) // 64))).hash
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
