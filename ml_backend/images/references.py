"""The forms in which a task names its picture, told apart from the text alone: no file is opened, no host is asked."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ml_backend.errors import ImageReferenceError
from ml_backend.label_studio.connections import LabelStudio
from ml_backend.label_studio.image_paths import may_be_image_path
from ml_backend.label_studio.tasks import is_task_id
from ml_backend.redaction import printable, redact, redact_address
from ml_backend.settings import ADDRESS_MAX_LENGTH

_SHOWN = 120
_EXPECTED = (
    "an http(s) address, a Label Studio path (/data/upload/…, /data/local-files/?d=…, /storage-data/uploaded/?filepath=…), "
    "a cloud storage URI or a data: URI"
)

HOST_MAX_LENGTH = 253  # characters of a name, RFC 1035, 2.3.4

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
    if text.startswith("/") and may_be_image_path(text.partition("?")[0]):
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


def readable(reference: ImageReference, home: LabelStudio | None, task: object) -> ImageReference:
    """Return a cloud reference as one that this machine reads with its own keys, unless Label Studio can resolve it by its task."""
    if isinstance(reference, CloudReference) and (home is None or not is_task_id(task)):
        return StorageReference(reference.uri)
    return reference
