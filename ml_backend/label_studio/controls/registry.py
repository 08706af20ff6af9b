"""The control tags that Prelabel serves. A new one is a module beside this one and a line in :data:`READERS`."""

from collections.abc import Callable

from ml_backend.label_studio.controls import choices, rectangles
from ml_backend.label_studio.controls.control import Control
from ml_backend.label_studio.controls.tags import Tags

Reader = Callable[[Tags], tuple[list[Control], list[str]]]

READERS: dict[str, Reader] = {
    rectangles.EXPECTED: rectangles.read,
    choices.EXPECTED: choices.read,
}
"""Readers by a description of their tags. Each returns controls, and a sentence for each tag that cannot be served."""
