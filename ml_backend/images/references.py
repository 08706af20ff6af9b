"""The forms in which a task names its picture, told apart from the text alone: no file is opened, no host is asked."""

import base64
import binascii
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from ml_backend.errors import ImageReferenceError
from ml_backend.redaction import printable, redact

_SHOWN = 120
_EXPECTED = "an http(s) address, a Label Studio path that starts with /data/, a cloud storage URI or a data: URI"


CLOUD_SCHEMES = ("s3", "gs", "azure-blob")


@dataclass(frozen=True, slots=True)
class HttpReference:
    """A picture behind ``http(s)://``; its text form leaves out what must not be logged."""

    url: str

    def __str__(self) -> str:
        return _shown(self.url)


@dataclass(frozen=True, slots=True)
class LabelStudioReference:
    """A picture that Label Studio itself serves, by a path such as ``/data/upload/1/a.jpg`` or ``/data/local-files/?d=a.jpg``."""

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

    data: bytes

    def __str__(self) -> str:
        return f"data: URI of {len(self.data)} bytes"


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


def parse_reference(value: object) -> ImageReference:
    """Tell which form of image reference ``value``, as it stands in a task's data, is.

    Args:
        value: what the task holds under the image's key; a ``Path`` where the task was made on this machine.

    Raises:
        ImageReferenceError: the value is no text, or no known form.
    """
    if isinstance(value, Path):
        return FileReference(value)
    if not isinstance(value, str):
        raise ImageReferenceError(f"the image is {_kind(value)}; expected text: {_EXPECTED}")
    text = value.strip()
    if not text:
        raise ImageReferenceError(f"the image is an empty text; expected {_EXPECTED}")
    scheme = text.partition(":")[0].lower()
    if scheme == "data":
        return InlineReference(_data_uri_bytes(text))
    if _CONTROL_CHARACTER.search(text):
        raise ImageReferenceError("the image's address has a control character in it, which no request can carry")
    if scheme in {"http", "https"}:
        return HttpReference(_checked_url(text))
    if scheme in CLOUD_SCHEMES and "://" in text:
        return CloudReference(text)
    path = text.partition("?")[0]
    if path.startswith("/") and not path.startswith("//") and "/data/" in path and ".." not in path.split("/"):
        return LabelStudioReference(text)
    raise ImageReferenceError(f"{_shown(text)} is not a form of image that can be fetched; expected {_EXPECTED}")


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port  # a port that is no number is found out only when it is asked for
    except ValueError as error:
        raise ImageReferenceError(f"{_shown(url)} is not a web address: {redact(str(error))}") from None
    if not parts.hostname:
        raise ImageReferenceError(f"{_shown(url)} is not a web address: it names no host")
    return url


def _data_uri_bytes(uri: str) -> bytes:
    # RFC 2397: data:[<mediatype>][;base64],<data>
    header, comma, payload = uri.partition(",")
    if not comma:
        raise ImageReferenceError("the data: URI has no comma, so no data; expected data:image/png;base64,…")
    raw = unquote_to_bytes(payload)
    if header.lower().endswith(";base64"):
        try:
            raw = base64.b64decode(b"".join(raw.split()), validate=True)
        except binascii.Error as error:
            raise ImageReferenceError(f"the data: URI is not valid base64: {error}") from None
    return raw


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
    return printable(redact(text), _SHOWN)
