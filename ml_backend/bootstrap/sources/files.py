"""Pictures in folders, of this machine and of cloud storages."""

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import fsspec

from ml_backend.bootstrap.items import Item
from ml_backend.bootstrap.sources.source import data_of_image
from ml_backend.errors import BootstrapError
from ml_backend.label_studio.controls import ImageField
from ml_backend.label_studio.health import storage_cause
from ml_backend.redaction import printable

DRY_RUN = ".dry-run.jpg"  # how the contact sheets of dry runs end, which are no part of a source
SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff")
)  # of the formats that are decoded; the content decides later


@dataclass(frozen=True)
class Folder:
    """All pictures below a folder. Hidden files and folders are passed over, as are links to folders, which can go in circles."""

    path: Path
    image_fields: Sequence[ImageField]
    prefix: str
    sort: bool = True
    project: ClassVar[None] = None

    @property
    def name(self) -> str:
        """The folder."""
        return printable(str(self.path), 4096)

    def items(self) -> Iterator[Item]:
        """Yield a task for each picture file, named by its path within the folder."""
        others: Counter[str] = Counter()
        any_found = False
        for path in _files(self.path):
            if path.suffix.lower() in SUFFIXES:
                any_found = True
                yield from _items_of(path, self.path, self.image_fields, self.prefix)
            else:
                others[path.suffix.lower() or "no suffix"] += 1
        if not any_found:
            seen = ", ".join(f"{number} {suffix}" for suffix, number in others.most_common(5)) or "it is empty"
            raise BootstrapError(f"no pictures below {self.name} ({printable(seen, 200)}); looked for {_suffixes()}")


@dataclass(frozen=True)
class Pattern:
    """The files that a pattern such as ``pictures/**/left-*.jpg`` names, by their paths within ``root``."""

    pattern: str
    root: Path
    image_fields: Sequence[ImageField]
    prefix: str
    sort: bool = True
    path: ClassVar[None] = None
    project: ClassVar[None] = None

    @property
    def name(self) -> str:
        """The pattern, from the root."""
        return printable(os.path.abspath(self.pattern), 4096)  # noqa: PTH100 - Path would normalize more than dots

    def items(self) -> Iterator[Item]:
        """Yield a task for each picture file."""
        any_found = False
        for name in glob.iglob(self.pattern, recursive=True):  # noqa: PTH207 - Path.glob knows no absolute patterns
            path = Path(name)
            if path.suffix.lower() in SUFFIXES and path.is_file():
                any_found = True
                yield from _items_of(path.absolute(), self.root, self.image_fields, self.prefix)
        if not any_found:
            raise BootstrapError(f"no pictures match {printable(self.pattern, 200)}; looked for {_suffixes()}")


@dataclass(frozen=True)
class StoragePrefix:
    """All pictures below a prefix of a cloud storage, listed through fsspec with this machine's own credentials, folder by folder."""

    uri: str
    image_fields: Sequence[ImageField]
    sort: bool = True
    path: ClassVar[None] = None
    project: ClassVar[None] = None

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
                        data = data_of_image(self.image_fields, f"{scheme}://{path}")
                        yield Item(os.fsencode(path.removeprefix(root).lstrip("/")), {"data": data})
        except BootstrapError:
            raise
        except Exception as error:  # each storage's client has errors of its own
            raise BootstrapError(f"{self.name} cannot be listed: {storage_cause(error)}") from None
        if not any_found:
            raise BootstrapError(f"no pictures below {self.name}; looked for {_suffixes()}")


def _files(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name.endswith(DRY_RUN):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    yield from _files(Path(entry.path))
                elif _is_file(entry):
                    yield Path(entry.path)
    except OSError as error:
        raise BootstrapError(f"{printable(str(folder), 300)} cannot be listed: {error.strerror}") from None


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link that goes in circles
        return False


def _items_of(path: Path, root: Path, image_fields: Sequence[ImageField], prefix: str) -> Iterator[Item]:
    """Yield the item of a file, or nothing where it has gone since it was listed."""
    with suppress(FileNotFoundError):
        status = path.stat()
        within = os.fsencode(path.relative_to(root))
        data = data_of_image(image_fields, prefix + quote(within))
        yield Item(within, {"data": data}, path, stamp=f"{status.st_size} {status.st_mtime_ns}")


def _suffixes() -> str:
    return ", ".join(sorted(SUFFIXES))
