"""The interface of sources."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from ml_backend.bootstrap.items import Item
from ml_backend.label_studio.controls import ImageField


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


def data_of_image(image_fields: Sequence[ImageField], image: str) -> dict[str, Any]:
    """Return the data of a task with one image, under each key that the label config reads images from."""
    return {place.key: [image] if place.is_list else image for place in image_fields}
