"""The images that are answered without boxes and choices, so that people's own work on them can be compared."""


def in_holdout(digest: str, fraction: float) -> bool:
    """Tell whether an image is in the holdout.

    Args:
        digest: SHA-256 of the image's bytes, in hex. It alone decides, so an image is in the holdout of every project or of none.
        fraction: size of the holdout, 0 to 1 (``PRELABEL_HOLDOUT_FRACTION``).
    """
    return int(digest[:8], 16) < fraction * 2**32
