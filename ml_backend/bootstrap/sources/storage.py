"""Images in cloud storages, listed through fsspec with this machine's own keys."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import fsspec

from ml_backend.bootstrap.items import Item
from ml_backend.bootstrap.sources.files import suffixes
from ml_backend.bootstrap.sources.source import SourceOptions
from ml_backend.errors import BootstrapError
from ml_backend.http.network_errors import storage_cause
from ml_backend.images.references import CLOUD_SCHEMES, IMAGE_SUFFIXES
from ml_backend.redaction import printable


@dataclass(frozen=True)
class StoragePrefix:
    """All images below a prefix of a cloud storage, listed folder by folder."""

    form: ClassVar[str] = ", ".join(f"{scheme}://…" for scheme, extra in CLOUD_SCHEMES.items() if extra)
    sort: ClassVar[bool] = True
    path: ClassVar[None] = None
    project: ClassVar[None] = None
    uri: str
    options: SourceOptions

    @classmethod
    def open(cls, text: str, options: SourceOptions) -> Self | None:
        """Return the source of a URI."""
        scheme, separator, _ = text.partition("://")
        return cls(text, options) if separator and CLOUD_SCHEMES.get(scheme) else None

    @property
    def name(self) -> str:
        """The prefix."""
        return printable(self.uri.rstrip("/"), 4096)

    def items(self) -> Iterator[Item]:
        """Yield an item for each object with the suffix of an image; its image is the object's URI."""
        scheme = self.uri.partition("://")[0]
        any_found = False
        try:
            storage, root = fsspec.url_to_fs(self.uri)
            for folder, _, files in storage.walk(root, on_error="raise"):
                for name in files:
                    if Path(name).suffix.lower() in IMAGE_SUFFIXES:
                        any_found = True
                        path = f"{folder}/{name}"
                        data = self.options.data(f"{scheme}://{path}")
                        yield Item(os.fsencode(path.removeprefix(root).lstrip("/")), {"data": data})
        except BootstrapError:
            raise
        except Exception as error:  # each storage's client has errors of its own
            raise BootstrapError(f"{self.name} cannot be listed: {storage_cause(error)}") from None
        if not any_found:
            raise BootstrapError(f"no images below {self.name}; looked for {suffixes()}")
