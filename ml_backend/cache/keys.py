"""The names under which entries are kept. Every store uses these, and nothing else is named anywhere."""

import hashlib

PREFIX = "prelabel:"
DETECTIONS = PREFIX + "detections:"
ADDRESSES = PREFIX + "addresses:"
LOCKS = PREFIX + "locks:"
PROBE = PREFIX + "probe"  # never written

# Raise when the way from a file's bytes to the detector's input changes, since that can change what is found.
INPUT_SHAPING = 3


def input_shaping(max_side: int) -> str:
    """Return what tells one way of making the detector's input from another, such as ``2-640``.

    Args:
        max_side: the longer side to which larger pictures are shrunk, in pixels; 0 for none.
    """
    return f"{INPUT_SHAPING}-{max_side}"


def detection_key(fingerprint: str, shaping: str, digest: str) -> str:
    """Return the key of one picture's raw detections: same model, same input shaping, same bytes.

    Args:
        fingerprint: of the detector's files, 64 hex digits.
        shaping: of :func:`input_shaping`.
        digest: SHA-256 of the bytes of the image file, 64 hex digits.
    """
    return f"{DETECTIONS}{fingerprint}:{shaping}:{digest}"


def address_key(address: str) -> str:
    """Return the key of what is known about an address. Hashed, since addresses can hold passwords."""
    return ADDRESSES + hashlib.sha256(address.encode("utf-8", "backslashreplace")).hexdigest()


def lock_key(key: str) -> str:
    """Return the key of the lock that whoever computes the entry under ``key`` holds."""
    return LOCKS + key.removeprefix(PREFIX)


def namespace_of(key: str) -> str:
    """Return what is under a key: ``detections``, ``addresses`` or ``locks``."""
    return key.removeprefix(PREFIX).partition(":")[0]


def fingerprint_of(key: str) -> str:
    """Return the model fingerprint in a key of detections, or nothing for another key."""
    return key.removeprefix(DETECTIONS).partition(":")[0] if key.startswith(DETECTIONS) else ""
