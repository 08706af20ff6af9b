"""Paths at which Label Studio serves images, compared after percent-decoding."""

import re
from urllib.parse import unquote

MAX_DECODINGS = 4  # of a path; each proxy on the way to Label Studio may decode it once more

_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")

# Label Studio 1.23, data_import/urls.py and core/urls.py
_IMAGE_PATH = re.compile(r"/(?:data/upload/.|(?:data/local-files|storage-data/uploaded)/?$)")


def is_image_path(path: str) -> bool:
    """Tell whether Label Studio serves images at a path, which is without path prefix and decoded by :func:`plain_path`."""
    return _IMAGE_PATH.match(path) is not None


def may_be_image_path(path: str) -> bool:
    """Tell whether Label Studio may serve an image at a path, as a task names it: below a path prefix, percent-encoded."""
    return _IMAGE_PATH.search(plain_path(path) or "") is not None


def plain_path(path: str) -> str | None:
    """Return a path with all its percent-encodings undone, or None where servers on the way may interpret it differently.

    That is the case for paths with ``.`` or ``..`` as a part, also before a semicolon, empty parts, backslashes, control characters, bytes that
    are not UTF-8, or more than :data:`MAX_DECODINGS` nested encodings.
    """
    for _ in range(MAX_DECODINGS):
        decoded = unquote(path)
        if decoded == path:
            break
        path = decoded
    else:
        return None
    if any(odd in path for odd in ("\\", "//", "\ufffd")) or _CONTROL_CHARACTER.search(path):
        return None
    dots = any(part.partition(";")[0] in {".", ".."} for part in path.split("/"))
    return None if dots else path
