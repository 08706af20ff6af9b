"""Images that a file names: a list of addresses, a table, an export."""

import codecs
import csv
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self, TextIO

import ijson

from ml_backend.bootstrap.existing_tasks import ANNOTATED
from ml_backend.bootstrap.items import Item
from ml_backend.bootstrap.sources.source import SourceOptions
from ml_backend.errors import BootstrapError
from ml_backend.redaction import printable


@dataclass(frozen=True)
class InFile:
    """A source that is one file."""

    form: ClassVar[str]
    suffix: ClassVar[str]
    sort: ClassVar[bool] = False
    project: ClassVar[None] = None
    path: Path
    options: SourceOptions

    @classmethod
    def open(cls, text: str, options: SourceOptions) -> Self | None:
        """Return the source of a file with the suffix of this kind."""
        path = Path(text)
        return cls(path.absolute(), options) if path.suffix.lower() == cls.suffix and path.is_file() else None

    @property
    def name(self) -> str:
        """The file."""
        return printable(str(self.path), 4096)


@dataclass(frozen=True)
class UrlList(InFile):
    """A text file with an address in each line; empty lines and lines that start with # are ignored."""

    form = ".txt (an address in each line)"
    suffix = ".txt"

    def items(self) -> Iterator[Item]:
        """Yield an item for each line."""
        any_found = False
        with _opened(self.path) as file:
            for line in file:
                address = line.strip()
                if address and not address.startswith("#"):
                    any_found = True
                    yield Item(address.encode(), {"data": self.options.data(address)})
        if not any_found:
            raise BootstrapError(f"no addresses in {self.name}")


@dataclass(frozen=True)
class UrlTable(InFile):
    """A CSV file with a header; each row is a task, each column a key of its data, as Label Studio reads it.

    The images of a row are its key, so that a row whose other columns were edited is still the same task.
    """

    form = ".csv (a column for each key of the label config)"
    suffix = ".csv"

    def items(self) -> Iterator[Item]:
        """Yield an item for each row."""
        any_found = False
        with _opened(self.path) as file:
            rows = csv.DictReader(file, strict=True)
            try:
                header = list(rows.fieldnames or [])
                for field in self.options.image_fields:
                    if field.is_list:
                        raise BootstrapError(
                            f"{self.name}: the label config wants a list of images under {field.key!r}, which a table cannot hold; use a .json file"
                        )
                    if field.key not in header:
                        shown = printable(", ".join(header), 200) or "nothing"
                        raise BootstrapError(
                            f"{self.name} has no column {field.key!r}, where the label config says the image is (it has {shown})"
                        )
                for row in rows:
                    if None in row or None in row.values():
                        raise BootstrapError(
                            f"{self.name}, line {rows.line_num}: not as many columns as the header has"
                        )
                    any_found = True
                    images = {field.key: row[field.key] for field in self.options.image_fields}
                    yield Item(key_of_data(images), {"data": row}, variant=key_of_data(row))
            except csv.Error as error:
                raise BootstrapError(f"{self.name}, line {rows.reader.line_num}: {error}") from None
        if not any_found:
            raise BootstrapError(f"no rows in {self.name}")


@dataclass(frozen=True)
class Export(InFile):
    """A JSON export of Label Studio, or any list of tasks in its import format, read one task at a time."""

    form = "or .json (an export of Label Studio)"
    suffix = ".json"

    def items(self) -> Iterator[Item]:
        """Yield an item for each task; annotated tasks are skipped."""
        any_found = False
        try:
            with self.path.open("rb") as file:
                if not file.read(1000).removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"["):
                    raise BootstrapError(
                        f"{self.name} is not a JSON list: expected a list of tasks, as Label Studio exports it"
                    )
                file.seek(0)
                for number, task in enumerate(ijson.items(file, "item", use_float=True), 1):
                    any_found = True
                    if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
                        raise BootstrapError(
                            f"{self.name}, task {number}: no object under 'data'; export as JSON (not JSON-MIN) from Label Studio"
                        )
                    json.dumps(
                        task
                    )  # the checkpoint encodes it too, but could not name the task that is nested too deeply
                    skip_reason = skip_reason_of(task, include_annotated=self.options.include_annotated)
                    data = key_of_data(task["data"])
                    match task.get("id"):
                        case int(number):
                            key, variant = f"{number:020d}".encode(), b""
                        case str(text) if text:
                            key, variant = key_of_data({"id": text}), data
                        case _:
                            key, variant = data, b""
                    yield Item(key, task, skip_reason=skip_reason, stamp=data.hex(), variant=variant)
        except ijson.JSONError as error:
            cause = printable(" ".join(str(error).split()), 200)
            raise BootstrapError(f"{self.name} is not valid JSON: {cause}") from None
        except RecursionError:
            raise BootstrapError(f"{self.name} is nested too deeply to be an export") from None
        except OSError as error:
            raise BootstrapError(f"{self.name} cannot be read: {error.strerror}") from None
        if not any_found:
            raise BootstrapError(f"no tasks in {self.name}; expected a list of tasks, as Label Studio exports it")


def skip_reason_of(task: dict[str, Any], *, include_annotated: bool) -> str:
    """Return why a task is skipped, or an empty text: annotated tasks get no prediction, unless the user wants them."""
    annotations = task.get("total_annotations") or task.get("annotations") or task.get("drafts")
    return ANNOTATED if annotations and not include_annotated else ""


def key_of_data(data: dict[str, Any]) -> bytes:
    """Return the digest of a task's data, 32 bytes."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).digest()


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file
    except UnicodeDecodeError as error:
        raise BootstrapError(
            f"{printable(str(path), 4096)} is not UTF-8 text: {error.reason} ({error.object[error.start]:#04x})"
        ) from None
    except OSError as error:
        raise BootstrapError(f"{printable(str(path), 4096)} cannot be read: {error.strerror}") from None
