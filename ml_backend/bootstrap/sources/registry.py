"""Tells what a source is by its text."""

import glob
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from ml_backend.bootstrap.sources.files import SUFFIXES, Folder, Pattern, StoragePrefix
from ml_backend.bootstrap.sources.lists import Export, UrlList, UrlTable
from ml_backend.bootstrap.sources.source import Source
from ml_backend.errors import BootstrapError
from ml_backend.label_studio.controls import ImageField
from ml_backend.redaction import printable, redact

STORAGES = ("s3://", "gs://")
LOCAL_FILES = "/data/local-files/?d="
"""The start of addresses of files that Label Studio serves from its own disk."""


def open_source(
    text: str, image_fields: Sequence[ImageField], prefix: str, *, include_annotated: bool = False
) -> Source:
    """Tell what a source is by its text.

    Args:
        text: a folder, a pattern, a cloud prefix, or a ``.txt``, ``.csv`` or ``.json`` file.
        image_fields: where the task's data is to have its image, as the label config says.
        prefix: what stands in a task in front of a file's path in its folder.
        include_annotated: whether tasks of an export that have annotations are predicted too.

    Raises:
        BootstrapError: there is no such thing.
    """
    if "://" in text:
        if text.startswith(STORAGES):
            return StoragePrefix(text, image_fields)
        raise BootstrapError(
            f"{printable(redact(text), 200)} is not a source: expected a folder, a pattern, s3://…, gs://…, or a .txt, .csv or .json file; "
            "one address goes into a .txt file"
        )
    if not text:
        raise BootstrapError(
            "the source is an empty text; expected a folder, a pattern or a file (is a variable unset?)"
        )
    path = Path(text)
    if path.is_dir():
        return Folder(path.absolute(), image_fields, prefix)
    if not path.is_file():
        if glob.has_magic(text):
            root = Path(*takewhile(lambda part: not glob.has_magic(part), path.parts[:-1]))
            return Pattern(text, root.absolute(), image_fields, prefix)
        raise BootstrapError(f"{printable(text, 200)} is not there: no such file or folder")
    return _open_file(path, image_fields, prefix, include_annotated=include_annotated)


def _open_file(path: Path, image_fields: Sequence[ImageField], prefix: str, *, include_annotated: bool) -> Source:
    match path.suffix.lower():
        case ".txt":
            return UrlList(path.absolute(), image_fields)
        case ".csv":
            return UrlTable(path.absolute(), image_fields)
        case ".json":
            return Export(path.absolute(), image_fields, include_annotated)
        case suffix if suffix in SUFFIXES:
            return Pattern(glob.escape(str(path)), path.parent.absolute(), image_fields, prefix)
    raise BootstrapError(
        f"{printable(str(path), 200)} is a file of no known kind: expected .txt (an address in each line), .csv (a column for each key of "
        "the label config), .json (an export of Label Studio), or a picture"
    )
