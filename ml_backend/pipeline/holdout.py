"""The images that are answered without boxes, so that people's own work on them can be compared."""


def in_holdout(digest: str, fraction: float) -> bool:
    """Tell whether a picture is answered without boxes, so that people's own work on it can be compared.

    Args:
        digest: of the picture's bytes, in hex; it alone decides, so a picture is one or the other in every project and for good.
        fraction: of pictures that are, 0 to 1 (``PRELABEL_HOLDOUT_FRACTION``).
    """
    return int(digest[:8], 16) < fraction * 2**32
