"""The sources that users name by a text. A new source is a module in this folder and a line here."""

from pathlib import Path

from ml_backend.bootstrap.sources.files import Folder, Pattern
from ml_backend.bootstrap.sources.lists import Export, UrlList, UrlTable
from ml_backend.bootstrap.sources.source import NamedSource, Source, SourceOptions
from ml_backend.bootstrap.sources.storage import StoragePrefix
from ml_backend.errors import BootstrapError
from ml_backend.redaction import printable, redact

SOURCES: tuple[type[NamedSource], ...] = (Folder, Pattern, StoragePrefix, UrlList, UrlTable, Export)


def open_source(text: str, options: SourceOptions) -> Source:
    """Return the source that a user names: the first of :data:`SOURCES` that knows the text.

    Raises:
        BootstrapError: there is no such source.
    """
    if not text:
        raise BootstrapError(
            "the source is an empty text; expected a folder, a pattern or a file (is a variable unset?)"
        )
    for kind in SOURCES:
        source = kind.open(text, options)
        if source is not None:
            return source
    forms = ", ".join(kind.form for kind in SOURCES)
    if "://" in text:
        shown = printable(redact(text), 200)
        raise BootstrapError(f"{shown} is not a source: expected {forms}; one address goes into a .txt file")
    if not Path(text).is_file():
        raise BootstrapError(f"{printable(text, 200)} is not there: no such file or folder")
    raise BootstrapError(f"{printable(text, 200)} is a file of no known kind: expected {forms}")
