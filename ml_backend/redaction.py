"""Takes out of texts what must not be logged or shown, and what cannot be."""

import re

_USER_INFO = re.compile(r"(?<=//)[^/?#'\"\n]*@")  # up to the last @ before the path: people put anything into passwords
_QUERY = re.compile(r"(?<=\?)[^\s'\"]+")


def redact(text: str) -> str:
    """Return ``text`` without user and password of addresses, and without their queries, which can hold signatures.

    >>> redact("gone: https://me:pw@host/a.jpg?X-Amz-Signature=abc")
    'gone: https://host/a.jpg?…'
    """
    return _QUERY.sub("…", _USER_INFO.sub("", text)) if "//" in text else text


def printable(text: str, limit: int) -> str:
    """Return at most ``limit`` characters of ``text``, all of which can be encoded; JSON can carry lone surrogates, UTF-8 cannot."""
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
