"""The names under which detections are kept; every store uses these."""

import hashlib

# Raise when the way from a file's bytes to the detector's input changes, since that can change what is found.
INPUT_SHAPING = 1


def detection_key(fingerprint: str, image: bytes) -> str:
    """Return the key of one picture's raw detections: same model, same input shaping, same bytes.

    Args:
        fingerprint: of the detector's files, 64 hex digits.
        image: the bytes of the image file.
    """
    return f"prelabel:detections:{fingerprint}:{INPUT_SHAPING}:{hashlib.sha256(image).hexdigest()}"
