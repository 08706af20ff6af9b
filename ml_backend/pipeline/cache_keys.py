"""The keys of results and image versions in the cache."""

import hashlib

from ml_backend.cache.keys import PREFIX
from ml_backend.images.decoding.decode import INPUT_SHAPING
from ml_backend.model_results import TILING

DETECTIONS = "detections"
CLASSIFICATIONS = "classifications"
TILES = "tiles"
RESULTS = (DETECTIONS, CLASSIFICATIONS, TILES)
ADDRESSES = "addresses"


def input_shaping(max_side: int) -> str:
    """Return the version of the way from an image file to the pixels for the models, such as ``3-640``.

    Args:
        max_side: the longer side to which larger images are shrunk, in pixels; 0 for none.
    """
    return f"{INPUT_SHAPING}-{max_side}"


def tile_shaping(max_side: int, most: int) -> str:
    """Return the version of the way from an image file to the detections in its tiles, such as ``3-640-2x1``.

    Args:
        max_side: as in :func:`input_shaping`.
        most: the largest number of tiles along each side.
    """
    return f"{input_shaping(max_side)}-{most}x{TILING}"


def result_key(namespace: str, fingerprint: str, shaping: str, digest: str) -> str:
    """Return the key of a model's result for one image: same model, same input shaping, same bytes.

    Args:
        namespace: :data:`DETECTIONS`, :data:`CLASSIFICATIONS` or :data:`TILES`.
        fingerprint: of the model, 64 hex digits.
        shaping: of :func:`input_shaping` or :func:`tile_shaping`.
        digest: SHA-256 of the bytes of the image file, 64 hex digits.
    """
    return f"{results_prefix(namespace, fingerprint)}:{shaping}:{digest}"


def results_prefix(namespace: str, fingerprint: str) -> str:
    """Return the beginning of the keys of a model's results; the first digits of its fingerprint are enough."""
    return f"{PREFIX}{namespace}:{fingerprint}"


def address_key(address: str) -> str:
    """Return the key of the known version of the image at an address. Hashed, since addresses can hold passwords."""
    return f"{PREFIX}{ADDRESSES}:{hashlib.sha256(address.encode('utf-8', 'backslashreplace')).hexdigest()}"


def fingerprint_of(key: str) -> str:
    """Return the model fingerprint in the key of a result; empty for another key."""
    for namespace in RESULTS:
        prefix = results_prefix(namespace, "")
        if key.startswith(prefix):
            return key.removeprefix(prefix).partition(":")[0]
    return ""
