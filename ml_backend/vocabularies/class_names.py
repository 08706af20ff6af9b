"""Class lists that users name: the classes of a model by their numbers, from a file of PRELABEL_CLASS_NAMES."""

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ml_backend.errors import SettingsError
from ml_backend.redaction import printable
from ml_backend.vocabularies.class_list import fold

MAX_BYTES = 10_000_000  # of a file
MAX_NAME_LENGTH = 500
BACKGROUNDS = {"background", "???", "unlabeled"}  # folded; the first entry of lists that count from 0


@dataclass(frozen=True)
class ClassNames:
    """A class list. ``str()`` gives its length and numbers, for messages.

    Attributes:
        source: the file, for messages.
        names: by number. A list without numbers counts from 1, or from 0 where its first entry is the background.
    """

    source: str
    names: dict[int, str]

    def __str__(self) -> str:
        return f"the list in {self.source} has {len(self.names)} names, numbered from {min(self.names)} to {max(self.names)}"

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

    def from_one(self, counts: Collection[int]) -> dict[int, str] | None:
        """Return the names of a detector's classes, which count from 1; None where the list does not fit.

        A list fits if its last number is the number of classes. Gaps are no classes, and a background at 0 is left out; anything else at 0
        shows that the list counts from 0.

        Args:
            counts: the possible numbers of classes; empty where any is possible.
        """
        if 0 in self.names and fold(self.names[0].strip("_")) not in BACKGROUNDS:
            return None
        names = {number: name for number, name in self.names.items() if number}
        return names if names and (not counts or max(names) in counts) else None


def read_class_names(path: Path) -> ClassNames:
    """Read a class list.

    ======== ======================================================================================================
    ``.txt``   one name in a line
    ``.csv``   names, or numbers and names, in the first columns; a first line with ``name`` or ``id`` names the columns
    ``.json``  a list of names, an object of names by number, or a list of objects with ``id`` and ``name``
    ``.pbtxt`` a label map of the TensorFlow Object Detection API: items with ``id`` and ``display_name`` or ``name``
    ======== ======================================================================================================

    Raises:
        SettingsError: the file cannot be read, or is no class list; the message says where it is wrong and what is expected.
    """
    shown = printable(str(path), 4096)
    reader, form = READERS.get(path.suffix.lower(), (None, ""))
    if reader is None:
        raise SettingsError(f"PRELABEL_CLASS_NAMES={shown} cannot be used: expected a file named {', '.join(READERS)}")
    try:
        names = reader(_text_of(path))
        _check(names)
    except OSError as error:
        raise SettingsError(f"PRELABEL_CLASS_NAMES={shown} cannot be read: {error.strerror or error}") from None
    except (ValueError, csv.Error, RecursionError) as error:
        cause = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise SettingsError(f"PRELABEL_CLASS_NAMES={shown} is no class list: {cause}. Expected {form}") from None
    return ClassNames(shown, names)


def _text_of(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
    try:
        return content.decode("utf-8-sig").rstrip()
    except UnicodeDecodeError as error:
        raise ValueError(f"its byte {error.start + 1:,} is not UTF-8") from None


def _check(names: dict[int, str]) -> None:
    if not names:
        raise ValueError("it has no names")
    for number, name in names.items():
        if not name or len(name) > MAX_NAME_LENGTH:
            raise ValueError(f"the class {number} has no name, or one of more than {MAX_NAME_LENGTH} characters")
        if re.search(r"[\x00-\x1f\x7f]", name):
            raise ValueError(f"the name of the class {number} has a control character: {name!r}")


def _counted(names: Iterable[str]) -> dict[int, str]:
    cleaned = [_cleaned(name) for name in names]
    return dict(enumerate(cleaned, 0 if cleaned and fold(cleaned[0].strip("_")) in BACKGROUNDS else 1))


def _numbered(rows: Iterable[tuple[object, object]]) -> dict[int, str]:
    names: dict[int, str] = {}
    for number, name in rows:
        text = str(number).strip() if type(number) in {int, str} else ""
        if not re.fullmatch("[0-9]{1,9}", text):
            raise ValueError(f"the number {printable(repr(number), 40)} is not a whole number from 0")
        if int(text) in names:
            raise ValueError(f"the number {int(text)} stands there twice")
        if not isinstance(name, str):
            raise ValueError(f"the name of the class {int(text)} is not a text: {printable(repr(name), 40)}")  # noqa: TRY004 - an error of the file
        names[int(text)] = _cleaned(name)
    return names


def _cleaned(name: str) -> str:
    return printable(" ".join(name.split()), MAX_NAME_LENGTH + 1)


def _read_txt(text: str) -> dict[int, str]:
    return _counted(io.StringIO(text))


NAME_COLUMNS = ("display_name", "name", "class_name", "label_name", "class", "label")
NUMBER_COLUMNS = ("id", "number", "index", "class_id", "label_id", "class", "label")


def _read_csv(text: str) -> dict[int, str]:
    first_line = text.partition("\n")[0]
    delimiter = max(",;\t", key=first_line.count)  # the first one where none occurs
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows = [(reader.line_num, [cell.strip() for cell in row] or [""]) for row in reader]
    head = [cell.casefold() for cell in rows[0][1]] if rows else []
    named = next((head.index(word) for word in NAME_COLUMNS if word in head), None)
    numbered = next((head.index(word) for word in NUMBER_COLUMNS if word in head and head.index(word) != named), None)
    if named is not None or numbered is not None:
        rows = rows[1:]
    else:
        have_numbers = [len(head) > 1 and cells[0].isdecimal() for _, cells in rows]
        if have_numbers and all(have_numbers):
            numbered, named = 0, 1
        elif not (have_numbers[1:] and all(have_numbers[1:])):  # else under a heading of other words
            named = 0
    if named is None:
        raise ValueError("its first line names no column of names")
    for line, cells in rows:
        if len(cells) <= max(named, numbered or 0):
            raise ValueError(f"line {line} has too few columns ({len(cells)})")
    if numbered is None:
        return _counted(cells[named] for _, cells in rows)
    return _numbered((cells[numbered], cells[named]) for _, cells in rows)


def _read_json(text: str) -> dict[int, str]:
    values = json.loads(text, object_pairs_hook=_without_repeats)
    if isinstance(values, dict):
        # ImageNet's own index has [synset, name] under each number.
        return _numbered((key, each[-1] if isinstance(each, list) and each else each) for key, each in values.items())
    if isinstance(values, list) and all(isinstance(each, str) for each in values):
        return _counted(values)
    if isinstance(values, list) and all(isinstance(each, dict) and {"id", "name"} <= set(each) for each in values):
        return _numbered((each["id"], each["name"]) for each in values)
    raise ValueError("it holds something else")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{printable(repr(key), 40)} stands there twice")
        found[key] = value
    return found


# Text format of protocol buffers: "name: value" and "name { … }"; commas and semicolons may separate fields.
_TOKEN = re.compile(
    r"""(?P<space>[\s,;]++|\#[^\n]*+)
    |(?P<open>\w++)\s*+(?::\s*+)?[{<]
    |(?P<close>[}>])
    |(?P<field>\w++)\s*+:
    |(?P<text>"(?:[^"\\\n]|\\.)*+"|'(?:[^'\\\n]|\\.)*+')
    |(?P<word>[^\s,;:\#"'{}<>]++)
    |(?P<wrong>.)""",
    re.VERBOSE,
)
_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|(.))", re.DOTALL)


def _read_pbtxt(text: str) -> dict[int, str]:
    rows = []
    for start, item in _items(text):
        name = item.get("display_name") or item.get("name")
        if "id" not in item or name is None:
            raise ValueError(f"the item in line {_line(text, start)} has no id or no name")
        rows.append((item["id"], name))
    return _numbered(rows)


def _items(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the items of a label map with their places in the text. Blocks inside items, such as keypoints, are left out."""
    blocks: list[str] = []
    start, field, item = 0, "", dict[str, str]()
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup or ""
        value = token[kind]
        if kind == "wrong" or (kind == "close" and not blocks):
            raise ValueError(f"line {_line(text, token.start())} has an unexpected {value}")
        if kind == "open":
            blocks.append(value)
            if len(blocks) == 1:
                start, item = token.start(), {}
        elif kind == "close":
            if blocks == ["item"]:
                yield start, item
            blocks.pop()
        elif kind == "field":
            field = value
        elif kind in {"text", "word"} and len(blocks) == 1:
            # Texts one after another are one text.
            item[field] = item.get(field, "") + (_unquoted(value) if kind == "text" else value)
    if blocks:
        raise ValueError(f"the block in line {_line(text, start)} does not end")


def _line(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1


def _unquoted(text: str) -> str:
    return _ESCAPE.sub(_unescaped, text[1:-1].encode()).decode(errors="replace")


def _unescaped(escape: re.Match[bytes]) -> bytes:
    octal, hexadecimal, character, other = escape.groups()
    if character:
        return chr(int(character, 16)).encode(errors="replace")
    if other:
        return {b"n": b"\n", b"r": b"\r", b"t": b"\t"}.get(other, bytes(other))
    return bytes([int(octal, 8) & 255 if octal else int(hexadecimal, 16)])


READERS: dict[str, tuple[Callable[[str], dict[int, str]], str]] = {
    ".txt": (_read_txt, "one name in each line"),
    ".csv": (_read_csv, "names, or numbers and names, in the first columns, or columns called id and name"),
    ".json": (_read_json, '["cat", "dog"], {"1": "cat", "2": "dog"} or [{"id": 1, "name": "cat"}, …]'),
    ".pbtxt": (_read_pbtxt, "a label map: item { id: 1 name: 'cat' } …"),
}
"""Readers by the suffix of a file, with the form that they expect."""
