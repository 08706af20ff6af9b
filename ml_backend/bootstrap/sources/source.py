"""The interface of sources."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

from ml_backend.bootstrap.items import Item
from ml_backend.label_studio.controls.control import ImageField

LOCAL_FILES = "/data/local-files/?d="
"""The beginning of addresses of files that Label Studio serves from its own disk."""


@dataclass(frozen=True)
class SourceOptions:
    """The options of a command that sources can use.

    Attributes:
        image_fields: the fields of a task's data that hold its images, by the label config.
        prefix: the text in front of a file's path in its folder, in the task.
        include_annotated: whether annotated tasks of an export get predictions too.
    """

    image_fields: Sequence[ImageField]
    prefix: str = LOCAL_FILES
    include_annotated: bool = False

    def data(self, image: str) -> dict[str, Any]:
        """Return the data of a task with one image, under each key that the label config reads images from."""
        return {field.key: [image] if field.is_list else image for field in self.image_fields}


class Source(Protocol):
    """A source of items."""

    @property
    def name(self) -> str:
        """Identifies the source, in the checkpoint and for people."""

    @property
    def sort(self) -> bool:
        """Whether the job sorts the items, because the source has no order of its own."""

    @property
    def path(self) -> Path | None:
        """The folder or file of this machine that it reads, which outputs must not replace; None elsewhere."""

    @property
    def project(self) -> int | None:
        """The id of the Label Studio project whose tasks it reads, or None."""

    def items(self) -> Iterator[Item]:
        """Read the source and yield its items.

        Raises:
            BootstrapError: the source cannot be read, or has no items.
        """


class NamedSource(Source, Protocol):
    """A source that users name by a text.

    Attributes:
        form: how users name it, such as ``a folder``.
    """

    form: ClassVar[str]

    @classmethod
    def open(cls, text: str, options: SourceOptions) -> Self | None:
        """Return the source of this text, or None if the text names no source of this kind."""
