"""Images in folders of this machine."""

import glob
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import ClassVar, Self
from urllib.parse import quote

from ml_backend.bootstrap.items import Item
from ml_backend.bootstrap.sources.source import SourceOptions
from ml_backend.errors import BootstrapError
from ml_backend.images.references import IMAGE_SUFFIXES
from ml_backend.redaction import printable

DRY_RUN = ".dry-run.jpg"  # end of the names of contact sheets of dry runs, which are no part of a source


@dataclass(frozen=True)
class Folder:
    """All images below a folder, without hidden files and folders, and without links to folders, which can go in circles."""

    form: ClassVar[str] = "a folder"
    sort: ClassVar[bool] = True
    project: ClassVar[None] = None
    path: Path
    options: SourceOptions

    @classmethod
    def open(cls, text: str, options: SourceOptions) -> Self | None:
        """Return the source of a folder."""
        return cls(Path(text).absolute(), options) if "://" not in text and Path(text).is_dir() else None

    @property
    def name(self) -> str:
        """The folder."""
        return printable(str(self.path), 4096)

    def items(self) -> Iterator[Item]:
        """Yield an item for each image file; its key is the path within the folder."""
        others: Counter[str] = Counter()
        any_found = False
        for path in _files(self.path):
            if path.suffix.lower() in IMAGE_SUFFIXES:
                any_found = True
                yield from _items_of(path, self.path, self.options)
            else:
                others[path.suffix.lower() or "no suffix"] += 1
        if not any_found:
            seen = ", ".join(f"{number} {suffix}" for suffix, number in others.most_common(5)) or "it is empty"
            raise BootstrapError(f"no images below {self.name} ({printable(seen, 200)}); looked for {suffixes()}")


@dataclass(frozen=True)
class Pattern:
    """The files that a pattern such as ``pictures/**/left-*.jpg`` names, by their paths within ``root``."""

    form: ClassVar[str] = "a pattern"
    sort: ClassVar[bool] = True
    path: ClassVar[None] = None
    project: ClassVar[None] = None
    pattern: str
    root: Path
    options: SourceOptions

    @classmethod
    def open(cls, text: str, options: SourceOptions) -> Self | None:
        """Return the source of a pattern, or of a single image."""
        path = Path(text)
        if "://" in text:
            return None
        if path.is_file():
            is_image = path.suffix.lower() in IMAGE_SUFFIXES
            return cls(glob.escape(text), path.parent.absolute(), options) if is_image else None
        root = Path(*takewhile(lambda part: not glob.has_magic(part), path.parts[:-1]))
        return cls(text, root.absolute(), options) if glob.has_magic(text) else None

    @property
    def name(self) -> str:
        """The pattern, from the root."""
        return printable(os.path.abspath(self.pattern), 4096)  # noqa: PTH100 - Path would normalize more than dots

    def items(self) -> Iterator[Item]:
        """Yield an item for each image file."""
        any_found = False
        for name in glob.iglob(self.pattern, recursive=True):  # noqa: PTH207 - Path.glob knows no absolute patterns
            path = Path(name)
            if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
                any_found = True
                yield from _items_of(path.absolute(), self.root, self.options)
        if not any_found:
            raise BootstrapError(f"no images match {printable(self.pattern, 200)}; looked for {suffixes()}")


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


def _items_of(path: Path, root: Path, options: SourceOptions) -> Iterator[Item]:
    """Yield the item of a file, or nothing if the file is gone since it was listed."""
    with suppress(FileNotFoundError):
        status = path.stat()
        within = os.fsencode(path.relative_to(root))
        yield Item(
            within,
            {"data": options.data(options.prefix + quote(within))},
            path,
            stamp=f"{status.st_size} {status.st_mtime_ns}",
        )


def suffixes() -> str:
    """Return the suffixes of images, for messages."""
    return ", ".join(sorted(IMAGE_SUFFIXES))
