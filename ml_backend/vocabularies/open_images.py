"""The 601 boxable classes of Open Images V4: MIDs, readable names, class numbers of the detectors, and the hierarchy."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources


def fold(text: str) -> str:
    """Return the form in which names are compared: case-folded, without spaces and underscores."""
    return "".join(text.casefold().replace("_", " ").split())


def is_mid(text: str) -> bool:
    """Tell whether a text is a machine identifier (MID) of the Knowledge Graph rather than a readable name."""
    return text.startswith(("/m/", "/g/"))


@dataclass(frozen=True)
class ClassList:
    """Classes in the detector's order.

    Attributes:
        mids: identifiers such as ``"/m/01g317"``.
        names: readable names such as ``"Person"``, in the same order.
        parents: MIDs of the direct superclasses, by MID of the class; a class may have several or none. Part relations (a wheel of a
            car) do not count.
    """

    mids: tuple[str, ...]
    names: tuple[str, ...]
    parents: dict[str, tuple[str, ...]]

    @cached_property
    def name_by_mid(self) -> dict[str, str]:
        """Readable names by MID."""
        return dict(zip(self.mids, self.names, strict=True))

    @cached_property
    def _mid_by_folded_text(self) -> dict[str, str]:
        return {fold(text): mid for mid, name in self.name_by_mid.items() for text in (mid, name)}

    def find(self, text: str) -> str | None:
        """Return the MID of the class with this name or MID, compared by :func:`fold`; None where there is none."""
        return self._mid_by_folded_text.get(fold(text))

    def at(self, number: int) -> tuple[str, str]:
        """Return name and MID of the class with the 1-based number of the detectors; ``("", "")`` outside the list."""
        if 1 <= number <= len(self.names):
            return self.names[number - 1], self.mids[number - 1]
        return "", ""

    def ancestors(self, mid: str) -> Iterator[list[str]]:
        """Yield lists of the MIDs of a class's ancestors by distance: parents first, then their parents, each ancestor once."""
        seen = {mid}
        level = [mid]
        while level := list(dict.fromkeys(up for each in level for up in self.parents.get(each, ()) if up not in seen)):
            seen.update(level)
            yield level


@lru_cache(maxsize=1)
def open_images_classes() -> ClassList:
    """Read the class list from the files beside this module; the source is in their ``README.md``."""
    mids, names = zip(*_rows("open_images_classes.csv"), strict=True)
    parents: dict[str, tuple[str, ...]] = {}
    for child, parent in _rows("open_images_hierarchy.csv"):
        parents[child] = (*parents.get(child, ()), parent)
    return ClassList(mids=mids, names=names, parents=parents)


def _rows(name: str) -> list[list[str]]:
    text = (resources.files("ml_backend.vocabularies") / name).read_text(encoding="utf-8")
    return list(csv.reader(text.splitlines()))
