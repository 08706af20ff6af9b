"""Where the pictures of a bulk job come from: a folder, a pattern, a cloud storage, a list, a table, an export. Never held in memory as a whole."""

import csv
import glob
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, Protocol, TextIO
from urllib.parse import quote

import fsspec
import ijson

from ml_backend.bootstrap.items import Item
from ml_backend.errors import BootstrapError
from ml_backend.images import CloudReference, ImageReference, LabelStudio, StorageReference, storage_cause
from ml_backend.labels import Source
from ml_backend.redaction import printable, redact

SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff")
)  # of the formats that are decoded; the content decides later
LOCAL_FILES = "/data/local-files/?d="
STORAGES = ("s3://", "gs://")


class Inputs(Protocol):
    """A source of items.

    Attributes:
        name: what it is, for the journal and for people; equal names are one source.
        sort: whether its items come in no order of their own.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def sort(self) -> bool: ...  # noqa: D102

    def items(self) -> Iterator[Item]:
        """Yield the items, each time anew.

        Raises:
            BootstrapError: it cannot be read, or holds no pictures.
        """


def open_inputs(text: str, places: Sequence[Source], prefix: str, *, include_annotated: bool = False) -> Inputs:
    """Tell what a source is by its text.

    Args:
        text: a folder, a pattern, a cloud prefix, or a ``.txt``, ``.csv`` or ``.json`` file.
        places: where the task's data is to have its image, as the label config says.
        prefix: what stands in a task in front of a file's path in its folder.
        include_annotated: whether tasks of an export that have annotations are predicted too.

    Raises:
        BootstrapError: there is no such thing.
    """
    if "://" in text:
        if text.startswith(STORAGES):
            return StoragePrefix(text, places)
        raise BootstrapError(
            f"{printable(redact(text), 200)} is not a source: expected a folder, a pattern, s3://…, gs://…, or a .txt, .csv or .json file; "
            "one address goes into a .txt file"
        )
    path = Path(text)
    if path.is_dir():
        return Folder(path.absolute(), places, prefix)
    if not path.is_file():
        if glob.has_magic(text):
            return Pattern(text, places, prefix)
        raise BootstrapError(f"{printable(text, 200)} is not there: no such file or folder")
    return _open_file(path, places, prefix, include_annotated=include_annotated)


def _open_file(path: Path, places: Sequence[Source], prefix: str, *, include_annotated: bool) -> Inputs:
    match path.suffix.lower():
        case ".txt":
            return UrlList(path.absolute(), places)
        case ".csv":
            return UrlTable(path.absolute(), places)
        case ".json":
            return Export(path.absolute(), places, include_annotated)
        case suffix if suffix in SUFFIXES:
            return Pattern(glob.escape(str(path)), places, prefix)
    raise BootstrapError(
        f"{printable(str(path), 200)} is a file of no known kind: expected .txt (an address in each line), .csv (a column for each key of "
        "the label config), .json (an export of Label Studio), or a picture"
    )


@dataclass(frozen=True)
class Folder:
    """All pictures below a folder. Hidden files and folders are passed over, as are links to folders, which can go in circles."""

    root: Path
    places: Sequence[Source]
    prefix: str
    sort: bool = True

    @property
    def name(self) -> str:
        """The folder."""
        return printable(str(self.root), 4096)

    def items(self) -> Iterator[Item]:
        """Yield a task for each picture file, named by its path within the folder."""
        others: Counter[str] = Counter()
        any_found = False
        for path in _files(self.root):
            if path.suffix.lower() in SUFFIXES:
                any_found = True
                yield _item_of_file(path, self.root, self.places, self.prefix)
            else:
                others[path.suffix.lower() or "no suffix"] += 1
        if not any_found:
            seen = ", ".join(f"{number} {suffix}" for suffix, number in others.most_common(5)) or "it is empty"
            raise BootstrapError(f"no pictures below {self.name} ({printable(seen, 200)}); looked for {_suffixes()}")


@dataclass(frozen=True)
class Pattern:
    """The files that a pattern such as ``pictures/**/left-*.jpg`` names."""

    pattern: str
    places: Sequence[Source]
    prefix: str
    sort: bool = True

    @property
    def name(self) -> str:
        """The pattern, from the root."""
        return printable(os.path.abspath(self.pattern), 4096)  # noqa: PTH100 - Path would normalize more than dots

    def items(self) -> Iterator[Item]:
        """Yield a task for each picture file, named by its path within the folder before the first wildcard."""
        fixed = Path(*takewhile(lambda part: not glob.has_magic(part), Path(self.pattern).parts[:-1]))
        any_found = False
        for name in glob.iglob(self.pattern, recursive=True):  # noqa: PTH207 - Path.glob knows no absolute patterns
            path = Path(name)
            if path.suffix.lower() in SUFFIXES and path.is_file():
                any_found = True
                yield _item_of_file(path.absolute(), fixed.absolute(), self.places, self.prefix)
        if not any_found:
            raise BootstrapError(f"no pictures match {printable(self.pattern, 200)}; looked for {_suffixes()}")


@dataclass(frozen=True)
class StoragePrefix:
    """All pictures below a prefix of a cloud storage, listed through fsspec with this machine's own credentials, folder by folder."""

    uri: str
    places: Sequence[Source]
    sort: bool = True

    @property
    def name(self) -> str:
        """The prefix."""
        return printable(self.uri.rstrip("/"), 4096)

    def items(self) -> Iterator[Item]:
        """Yield a task for each object whose name ends as a picture's does; its image is the object's URI."""
        scheme = self.uri.partition("://")[0]
        any_found = False
        try:
            storage, root = fsspec.url_to_fs(self.uri)
            for folder, _, files in storage.walk(root, on_error="raise"):
                for name in files:
                    if Path(name).suffix.lower() in SUFFIXES:
                        any_found = True
                        path = f"{folder}/{name}"
                        data = _data(self.places, f"{scheme}://{path}")
                        yield Item(os.fsencode(path.removeprefix(root).lstrip("/")), {"data": data})
        except BootstrapError:
            raise
        except Exception as error:  # each storage's client has errors of its own
            raise BootstrapError(f"{self.name} cannot be listed: {storage_cause(error)}") from None
        if not any_found:
            raise BootstrapError(f"no pictures below {self.name}; looked for {_suffixes()}")


@dataclass(frozen=True)
class UrlList:
    """A text file with an address in each line; empty lines and those that start with # are passed over."""

    path: Path
    places: Sequence[Source]
    sort: bool = False

    @property
    def name(self) -> str:
        """The file."""
        return printable(str(self.path), 4096)

    def items(self) -> Iterator[Item]:
        """Yield a task for each line."""
        any_found = False
        with _opened(self.path) as file:
            for line in file:
                address = line.strip()
                if address and not address.startswith("#"):
                    any_found = True
                    yield Item(address.encode(), {"data": _data(self.places, address)})
        if not any_found:
            raise BootstrapError(f"no addresses in {self.name}")


@dataclass(frozen=True)
class UrlTable:
    """A CSV file with a header; each row is a task, each column a key of its data, as Label Studio reads it."""

    path: Path
    places: Sequence[Source]
    sort: bool = False

    @property
    def name(self) -> str:
        """The file."""
        return printable(str(self.path), 4096)

    def items(self) -> Iterator[Item]:
        """Yield a task for each row."""
        any_found = False
        with _opened(self.path) as file:
            rows = csv.DictReader(file, strict=True)
            try:
                header = list(rows.fieldnames or [])
                for place in self.places:
                    if place.is_list:
                        raise BootstrapError(
                            f"{self.name}: the label config wants a list of images under {place.key!r}, which a table cannot hold; use a .json file"
                        )
                    if place.key not in header:
                        shown = printable(", ".join(header), 200) or "nothing"
                        raise BootstrapError(
                            f"{self.name} has no column {place.key!r}, where the label config says the image is (it has {shown})"
                        )
                for row in rows:
                    if None in row or None in row.values():
                        raise BootstrapError(
                            f"{self.name}, line {rows.line_num}: not as many columns as the header has"
                        )
                    any_found = True
                    yield Item(_key_of_data(row), {"data": row})
            except csv.Error as error:
                raise BootstrapError(f"{self.name}, line {rows.line_num}: {error}") from None
        if not any_found:
            raise BootstrapError(f"no rows in {self.name}")


@dataclass(frozen=True)
class Export:
    """A JSON export of Label Studio, or any list of tasks in its import format, read one task at a time."""

    path: Path
    places: Sequence[Source]
    include_annotated: bool = False
    sort: bool = False

    @property
    def name(self) -> str:
        """The file."""
        return printable(str(self.path), 4096)

    def items(self) -> Iterator[Item]:
        """Yield the tasks as they are, the annotated ones to be left alone."""
        any_found = False
        try:
            with self.path.open("rb") as file:
                for number, task in enumerate(ijson.items(file, "item", use_float=True), 1):
                    any_found = True
                    if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
                        raise BootstrapError(
                            f"{self.name}, task {number}: no object under 'data'; export as JSON (not JSON-MIN) from Label Studio"
                        )
                    identity = task.get("id")
                    key = f"{identity:020d}".encode() if isinstance(identity, int) else _key_of_data(task["data"])
                    left = left_alone(task, include_annotated=self.include_annotated)
                    yield Item(key, task, left=left, stamp=_key_of_data(task["data"]).hex())
        except ijson.JSONError as error:
            raise BootstrapError(f"{self.name} is not JSON as it should be: {printable(str(error), 200)}") from None
        except OSError as error:
            raise BootstrapError(f"{self.name} cannot be read: {error.strerror}") from None
        if not any_found:
            raise BootstrapError(f"no tasks in {self.name}; expected a list of tasks, as Label Studio exports it")


def readable(reference: ImageReference, home: LabelStudio | None, task: object) -> ImageReference:
    """Return a cloud reference as one that this machine reads with its own keys, unless Label Studio can resolve it by its task."""
    if isinstance(reference, CloudReference) and (home is None or not isinstance(task, int)):
        return StorageReference(reference.uri)
    return reference


def left_alone(task: dict[str, Any], *, include_annotated: bool) -> str:
    """Return why a task is not to be predicted, or nothing. What people have drawn is never asked about again."""
    annotations = task.get("total_annotations") or len(task.get("annotations") or [])
    return "it has annotations" if annotations and not include_annotated else ""


def _files(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    yield from _files(Path(entry.path))
                elif entry.is_file():
                    yield Path(entry.path)
    except OSError as error:
        raise BootstrapError(f"{printable(str(folder), 300)} cannot be listed: {error.strerror}") from None


def _item_of_file(path: Path, root: Path, places: Sequence[Source], prefix: str) -> Item:
    within = os.fsencode(path.relative_to(root))
    status = path.stat()
    stamp = f"{status.st_size} {status.st_mtime_ns}"
    return Item(within, {"data": _data(places, prefix + quote(within))}, path, stamp=stamp)


def _data(places: Sequence[Source], image: str) -> dict[str, Any]:
    return {place.key: [image] if place.is_list else image for place in places}


def _key_of_data(data: dict[str, Any]) -> bytes:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).digest()


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file
    except UnicodeDecodeError as error:
        raise BootstrapError(f"{path} is not UTF-8 text: {error.reason} ({error.object[error.start]:#04x})") from None
    except OSError as error:
        raise BootstrapError(f"{path} cannot be read: {error.strerror}") from None


def _suffixes() -> str:
    return ", ".join(sorted(SUFFIXES))
