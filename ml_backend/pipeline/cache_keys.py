"""The keys of detections and image versions in the cache."""

import hashlib

from ml_backend.cache.keys import PREFIX
from ml_backend.images.decoding.decode import INPUT_SHAPING

DETECTIONS = "detections"
ADDRESSES = "addresses"


def input_shaping(max_side: int) -> str:
    """Return the version of the way from an image file to the detector's input, such as ``3-640``.

    Args:
        max_side: the longer side to which larger images are shrunk, in pixels; 0 for none.
    """
    return f"{INPUT_SHAPING}-{max_side}"


def detection_key(fingerprint: str, shaping: str, digest: str) -> str:
    """Return the key of one image's raw detections: same model, same input shaping, same bytes.

    Args:
        fingerprint: of the detector's files, 64 hex digits.
        shaping: of :func:`input_shaping`.
        digest: SHA-256 of the bytes of the image file, 64 hex digits.
    """
    return f"{detections_prefix(fingerprint)}:{shaping}:{digest}"


def detections_prefix(fingerprint: str) -> str:
    """Return the beginning of the keys of a model's detections; the first digits of its fingerprint are enough."""
    return f"{PREFIX}{DETECTIONS}:{fingerprint}"


def address_key(address: str) -> str:
    """Return the key of the known version of the image at an address. Hashed, since addresses can hold passwords."""
    return f"{PREFIX}{ADDRESSES}:{hashlib.sha256(address.encode('utf-8', 'backslashreplace')).hexdigest()}"


def fingerprint_of(key: str) -> str:
    """Return the model fingerprint in a key of detections; empty for another key."""
    prefix = detections_prefix("")
    return key.removeprefix(prefix).partition(":")[0] if key.startswith(prefix) else ""
