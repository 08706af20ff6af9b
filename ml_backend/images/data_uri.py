"""Decodes ``data:`` URIs, in small steps so that other threads can run in between."""

import binascii
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from ml_backend.errors import ImageReferenceError
from ml_backend.http.bounded_body import TooLargeError

MAX_ESCAPES = 2_000_000  # percent-encoded bytes, of about 0.3 microseconds each; images are usually encoded in base64
STEP = 1 << 20  # characters
_WHITE_SPACE = b" \t\r\n\v\f"


def decode(uri: str, limit: int) -> bytes:
    """Return the data of a URI such as ``data:image/png;base64,iVBORw0K…`` (RFC 2397).

    Args:
        uri: the whole URI; white space around it and in base64 is ignored.
        limit: on the data, in bytes.

    Raises:
        ImageReferenceError: it has no comma, too many percent-encodings, or invalid base64.
        TooLargeError: there is more data; about a megabyte more than ``limit`` was held in memory.
    """
    uri = uri.strip()
    comma = uri.find(",")
    if comma < 0:
        raise ImageReferenceError("the data: URI has no comma, so no data; expected data:image/png;base64,…")
    parts = _unescaped(uri, comma + 1)
    if uri[max(0, comma - 7) : comma].lower() == ";base64":
        parts = _from_base64(parts)
    data = bytearray()
    try:
        for part in parts:
            data += part
            if len(data) > limit:
                raise TooLargeError
    except binascii.Error as error:
        raise ImageReferenceError(f"the data: URI is not valid base64: {error}") from None
    except UnicodeEncodeError:
        raise ImageReferenceError("the data: URI has a lone surrogate in it, which has no bytes") from None
    return bytes(data)


def _unescaped(uri: str, start: int) -> Iterator[bytes]:
    escapes = 0
    while start < len(uri):
        end = start + STEP
        cut = uri.rfind("%", end - 2, end)  # the beginning of an escape that ends in the next step
        end = end if cut < 0 else cut
        escapes += uri.count("%", start, end)
        if escapes > MAX_ESCAPES:
            raise ImageReferenceError(
                f"the data: URI has over {MAX_ESCAPES:,} percent-encodings; encode the image in base64"
            )
        yield unquote_to_bytes(uri[start:end])
        start = end


def _from_base64(parts: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for part in parts:
        letters = rest + part.translate(None, _WHITE_SPACE)
        whole = len(letters) - len(letters) % 4
        rest = letters[whole:]
        yield binascii.a2b_base64(letters[:whole], strict_mode=True)
    yield binascii.a2b_base64(rest, strict_mode=True)
