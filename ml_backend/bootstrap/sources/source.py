"""What a source is."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from ml_backend.bootstrap.items import Item
from ml_backend.label_studio.controls import ImageField


class Source(Protocol):
    """A source of items."""

    @property
    def name(self) -> str:
        """What it is, for the checkpoint and for people; equal names are one source."""

    @property
    def sort(self) -> bool:
        """Whether its items come in no order of their own."""

    def items(self) -> Iterator[Item]:
        """Yield the items, each time anew.

        Raises:
            BootstrapError: it cannot be read, or holds no pictures.
        """


def data_of_image(image_fields: Sequence[ImageField], image: str) -> dict[str, Any]:
    """Return the data of a task with one image, at each place where the label config wants one."""
    return {place.key: [image] if place.is_list else image for place in image_fields}
