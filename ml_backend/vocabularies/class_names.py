"""Class lists that users name: the classes of a model by their numbers, from a file of PRELABEL_CLASS_NAMES."""

import csv
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ml_backend.errors import SettingsError
from ml_backend.redaction import printable
from ml_backend.vocabularies.class_list import fold

MAX_BYTES = 10_000_000  # of a file; the rest is not read
MAX_NAME_LENGTH = 500
BACKGROUNDS = {"background", "__background__", "???", "unlabeled"}  # the first entry of lists that count from 0


@dataclass(frozen=True)
class ClassNames:
    """A class list.

    Attributes:
        source: the file, for messages.
        names: by number. A list without numbers counts from 1, or from 0 where its first entry is the background.
        numbered: whether the file has numbers.
    """

    source: str
    names: dict[int, str]
    numbered: bool

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the numbers and names, 64 hex digits."""
        return hashlib.sha256(json.dumps(sorted(self.names.items())).encode()).hexdigest()

    def outputs(self, count: int) -> tuple[str, ...] | None:
        """Return the names of a classifier's outputs, in their order; None where the list does not fit.

        A list fits if its numbers are those from 0, or those from 1 with or without an output for the background in front.

        Args:
            count: the number of outputs.
        """
        first, last = min(self.names), max(self.names)
        if len(self.names) != last - first + 1 or first > 1:
            return None
        ordered = tuple(self.names[number] for number in range(first, last + 1))
        if len(ordered) == count:
            return ordered
        return ("background", *ordered) if first == 1 and len(ordered) == count - 1 else None


def read_class_names(path: Path) -> ClassNames:
    """Read a class list.

    ======== ======================================================================================================
    ``.txt``   one name in a line
    ``.csv``   names, or numbers and names, in the first columns; a first line with ``name`` or ``id`` names the columns
    ``.json``  a list of names, an object of names by number, or a list of objects with ``id`` and ``name``
    ``.pbtxt`` a label map of the TensorFlow Object Detection API: items with ``id`` and ``display_name`` or ``name``
    ======== ======================================================================================================

    Raises:
        SettingsError: the file cannot be read, or has no names; the message says where.
    """
    shown = printable(str(path), 4096)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise SettingsError(f"PRELABEL_CLASS_NAMES={shown} cannot be used: expected a file named {', '.join(READERS)}")
    try:
        text = path.read_bytes()[: MAX_BYTES + 1].decode("utf-8-sig")
        names, numbered = reader(text)
        _check(names)
    except OSError as error:
        raise SettingsError(f"PRELABEL_CLASS_NAMES={shown} cannot be read: {error.strerror or error}") from None
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError too
        raise SettingsError(f"PRELABEL_CLASS_NAMES={shown} is no class list: {error}") from None
    return ClassNames(shown, names, numbered)


def _check(names: dict[int, str]) -> None:
    if not names:
        raise ValueError("it has no names")
    for number, name in names.items():
        if number < 0:
            raise ValueError(f"the number {number} is below 0")
        if not name or len(name) > MAX_NAME_LENGTH:
            raise ValueError(f"the class {number} has no name, or one of more than {MAX_NAME_LENGTH} characters")


Read = tuple[dict[int, str], bool]


def _counted(names: list[str]) -> Read:
    first = 0 if names and fold(names[0]) in BACKGROUNDS else 1
    return dict(enumerate(names, first)), False


def _numbered(rows: list[tuple[Any, Any]]) -> Read:
    names: dict[int, str] = {}
    for number, name in rows:
        key = int(number)
        if key in names:
            raise ValueError(f"the number {key} stands there twice")
        if not isinstance(name, str):
            raise ValueError(f"the name of {key} is not a text")  # noqa: TRY004 - an error of the file
        names[key] = printable(name.strip(), MAX_NAME_LENGTH + 1)
    return names, True


def _read_txt(text: str) -> Read:
    return _counted([printable(line.strip(), MAX_NAME_LENGTH + 1) for line in text.splitlines() if line.strip()])


def _read_csv(text: str) -> Read:
    rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines()) if any(map(str.strip, row))]
    head = [cell.casefold() for cell in rows[0]] if rows else []
    name_column = next((head.index(word) for word in ("display_name", "name", "class", "label") if word in head), None)
    number_column = next((head.index(word) for word in ("id", "number", "index", "class_id") if word in head), None)
    if name_column is not None or number_column is not None:
        rows = rows[1:]
        if name_column is None:
            raise ValueError("its first line names no column of names (name, display_name, class or label)")
    elif rows and len(rows[0]) > 1 and all(row[0].isdecimal() for row in rows):
        number_column, name_column = 0, 1
    else:
        name_column = 0
    for line, row in enumerate(rows, 1):
        if len(row) <= max(name_column, number_column or 0):
            raise ValueError(f"row {line} has {len(row)} columns")
    if number_column is None:
        return _counted([row[name_column] for row in rows])
    return _numbered([(row[number_column], row[name_column]) for row in rows])


def _read_json(text: str) -> Read:
    values = json.loads(text)
    if isinstance(values, dict):
        # ImageNet's own index has [synset, name] under each number.
        return _numbered(
            [(key, value[-1] if isinstance(value, list) and value else value) for key, value in values.items()]
        )
    if not isinstance(values, list):
        raise ValueError("expected a list or an object")  # noqa: TRY004 - an error of the file
    if all(isinstance(value, str) for value in values):
        return _counted([printable(value.strip(), MAX_NAME_LENGTH + 1) for value in values])
    if all(isinstance(value, dict) and {"id", "name"} <= set(value) for value in values):
        return _numbered([(value["id"], value["name"]) for value in values])
    raise ValueError("expected names, or objects with id and name")


_ITEM = re.compile(r"\bitem\s*\{(.*?)\}", re.DOTALL)
_TEXT = r"""["']((?:[^"'\\]|\\.)*)["']"""


def _read_pbtxt(text: str) -> Read:
    rows = []
    for item in _ITEM.findall(re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)):
        number = re.search(r"\bid\s*:\s*(\d+)", item)
        name = re.search(rf"\bdisplay_name\s*:\s*{_TEXT}", item) or re.search(rf"\bname\s*:\s*{_TEXT}", item)
        if number is None or name is None:
            raise ValueError(f"an item without an id or a name: {printable(item.strip(), 100)}")
        rows.append((number[1], re.sub(r"\\(.)", r"\1", name[1])))
    return _numbered(rows)


READERS: dict[str, Callable[[str], Read]] = {
    ".txt": _read_txt,
    ".csv": _read_csv,
    ".json": _read_json,
    ".pbtxt": _read_pbtxt,
}
"""Readers by the suffix of a file."""
