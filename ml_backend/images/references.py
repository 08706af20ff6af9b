"""The forms in which a task names its picture, told apart from the text alone: no file is opened, no host is asked."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ml_backend.errors import ImageReferenceError
from ml_backend.redaction import printable, redact, redact_address
from ml_backend.settings import ADDRESS_MAX_LENGTH

_SHOWN = 120
_EXPECTED = (
    "an http(s) address, a Label Studio path (/data/upload/…, /data/local-files/?d=…, /storage-data/uploaded/?filepath=…), "
    "a cloud storage URI or a data: URI"
)

HOST_MAX_LENGTH = 253  # characters of a name, RFC 1035, 2.3.4
MAX_DECODINGS = 4  # of a path; each proxy between here and Label Studio may decode it once more

CLOUD_SCHEMES = {"s3": "s3", "gs": "gs", "azure-blob": ""}
"""Schemes of cloud storages, each with the extra of Prelabel that reads it with this machine's keys; empty if only Label Studio can."""

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff")
)
"""Suffixes of the formats that can be decoded. They select files in folders; decoding looks at the content alone."""


@dataclass(frozen=True, slots=True)
class HttpReference:
    """A picture behind ``http(s)://``; its text form leaves out what must not be logged."""

    url: str

    def __str__(self) -> str:
        return _shown(self.url)


@dataclass(frozen=True, slots=True)
class LabelStudioReference:
    """A picture that Label Studio itself serves, by a path that :func:`is_image_path` takes, perhaps below a path prefix."""

    path: str

    def __str__(self) -> str:
        return _shown(self.path)


@dataclass(frozen=True, slots=True)
class CloudReference:
    """A picture in a cloud storage that Label Studio has the keys of, such as ``s3://bucket/a.jpg``."""

    uri: str

    def __str__(self) -> str:
        return _shown(self.uri)


@dataclass(frozen=True, slots=True)
class InlineReference:
    """A picture written into the task itself as a ``data:`` URI."""

    uri: str = field(
        repr=False
    )  # as it came: it can have millions of characters, so nothing is done with it before it is fetched

    def __str__(self) -> str:
        return f"data: URI of {len(self.uri)} characters"


@dataclass(frozen=True, slots=True)
class FileReference:
    """A picture on this machine. Only a ``Path`` object makes one, and JSON holds none: no task over HTTP can name a file."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class StorageReference:
    """A picture in a cloud storage that this machine itself has the keys of. As with files, no task over HTTP can name one."""

    uri: str

    def __str__(self) -> str:
        return _shown(self.uri)


ImageReference = (
    HttpReference | LabelStudioReference | CloudReference | InlineReference | FileReference | StorageReference
)


_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")


def parse_reference(value: object, max_length: int = ADDRESS_MAX_LENGTH) -> ImageReference:
    """Tell which form of image reference ``value``, as it stands in a task's data, is.

    Args:
        value: content of the task's data under the image's key; a ``Path`` where the task was made on this machine.
        max_length: of an address, in characters. A ``data:`` URI may be longer.

    Raises:
        ImageReferenceError: the value is no text, too long, or no known form.
    """
    if isinstance(value, Path):
        return FileReference(value)
    if not isinstance(value, str):
        raise ImageReferenceError(f"the image is {_kind(value)}; expected text: {_EXPECTED}")
    if value[:_SHOWN].lstrip()[:5].lower() == "data:":
        return InlineReference(value)
    if len(value) > max_length:
        raise ImageReferenceError(
            f"the image's address has {len(value):,} characters; the limit is {max_length:,} (PRELABEL_ADDRESS_MAX_LENGTH)"
        )
    text = value.strip()
    if not text:
        raise ImageReferenceError(f"the image is an empty text; expected {_EXPECTED}")
    if _CONTROL_CHARACTER.search(text):
        raise ImageReferenceError("the image's address has a control character in it, which no request can carry")
    scheme = text.partition(":")[0].lower()
    if scheme in {"http", "https"}:
        return HttpReference(_checked_url(text))
    if scheme in CLOUD_SCHEMES and "://" in text:
        return CloudReference(text)
    if text.startswith("/") and _IMAGE_PATH.search(plain_path(text.partition("?")[0]) or ""):
        return LabelStudioReference(text)
    raise ImageReferenceError(f"{_shown(text)} is not a form of image that can be fetched; expected {_EXPECTED}")


# Label Studio 1.23, data_import/urls.py and core/urls.py
_IMAGE_PATH = re.compile(r"/(?:data/upload/.|(?:data/local-files|storage-data/uploaded)/?$)")


def is_image_path(path: str) -> bool:
    """Tell whether Label Studio serves pictures at a path, without its path prefix, as :func:`plain_path` gives it."""
    return _IMAGE_PATH.match(path) is not None


def plain_path(path: str) -> str | None:
    """Return a path with all its percent-encodings undone, or None where servers on its way may read it differently.

    Such are paths with ``.`` or ``..`` as a part, also before a semicolon, empty parts, backslashes, control characters, bytes that
    are no UTF-8, or too many encodings within each other.
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


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port  # a port that is no number is found out only when it is asked for
    except ValueError as error:
        raise ImageReferenceError(f"{_shown(url)} is not a web address: {redact(str(error))}") from None
    if not parts.hostname:
        raise ImageReferenceError(f"{_shown(url)} is not a web address: it names no host")
    if len(parts.hostname) > HOST_MAX_LENGTH:  # finding out what its letters beyond ASCII stand for takes long
        raise ImageReferenceError(f"{_shown(url)} is not a web address: its host has over {HOST_MAX_LENGTH} characters")
    return url


def unavailable(reference: ImageReference) -> str:
    """Return what strangers are told of an image that could not be had from somewhere else than the operator's Label Studio.

    One sentence for all causes: otherwise requests could find out which hosts and services this machine reaches.
    """
    return f"{reference} could not be fetched as an image; the log of Prelabel says why"


def _kind(value: object) -> str:
    names = {
        type(None): "null",
        list: "a list",
        dict: "an object",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), type(value).__name__)


def _shown(text: str) -> str:
    return printable(redact_address(text), _SHOWN)
