"""The 601 boxable classes of Open Images V4: their MIDs, readable names, and the order that the published detectors number them in."""

import csv
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources


@dataclass(frozen=True)
class ClassList:
    """Classes in the detector's order.

    Attributes:
        mids: identifiers such as ``"/m/01g317"``.
        names: readable names such as ``"Person"``, in the same order.
    """

    mids: tuple[str, ...]
    names: tuple[str, ...]

    @cached_property
    def name_by_mid(self) -> dict[str, str]:
        """Readable names by MID."""
        return dict(zip(self.mids, self.names, strict=True))

    def at(self, number: int) -> tuple[str, str]:
        """Return name and MID of the class that detectors number ``number``, counted from 1; ``("", "")`` outside the list."""
        if 1 <= number <= len(self.names):
            return self.names[number - 1], self.mids[number - 1]
        return "", ""


def is_mid(text: str) -> bool:
    """Tell whether a class text is a machine identifier of the Knowledge Graph rather than a readable name."""
    return text.startswith(("/m/", "/g/"))


@lru_cache(maxsize=1)
def open_images_classes() -> ClassList:
    """Read the list from the package's data (``data/README.md`` says where it comes from)."""
    text = (resources.files("ml_backend") / "data" / "open_images_classes.csv").read_text(encoding="utf-8")
    mids, names = zip(*csv.reader(text.splitlines()), strict=True)
    return ClassList(mids=mids, names=names)
