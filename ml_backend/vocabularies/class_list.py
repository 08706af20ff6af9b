"""Lists of classes with identifiers, names and a hierarchy."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from typing import NamedTuple


def fold(text: str) -> str:
    """Return the form in which names are compared: case-folded, without spaces and underscores."""
    return "".join(text.casefold().replace("_", " ").split())


class ModelClass(NamedTuple):
    """A class that a model can return.

    Attributes:
        name: readable, such as ``"Person"``.
        id: in the vocabulary that has the class (a MID of Open Images, a synset of WordNet); ``""`` where none has it.
    """

    name: str
    id: str


@dataclass(frozen=True)
class ClassList:
    """The classes of a vocabulary.

    Attributes:
        ids: identifiers such as ``"/m/01g317"`` (a MID of Open Images) or ``"n02084071"`` (a synset of WordNet).
        names: readable names such as ``"Person"``, in the same order.
        parents: ids of the direct superclasses, by id of the class; a class may have several or none. Part relations (a wheel of a
            car) do not count.
        other_names: ids by folded synonym, the likeliest meaning first.
        namesakes: ids by folded name that several classes have, the likeliest meaning first.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    parents: Mapping[str, tuple[str, ...]]
    other_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    namesakes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def name_by_id(self) -> dict[str, str]:
        """Readable names by id."""
        return dict(zip(self.ids, self.names, strict=True))

    @cached_property
    def _id_by_folded_text(self) -> dict[str, str]:
        found = {fold(text): each for each, name in self.name_by_id.items() for text in (each, name)}
        return found | {text: ids[0] for text, ids in self.namesakes.items()}

    def find(self, text: str) -> str | None:
        """Return the id of the class with this name or id, compared by :func:`fold`; None where there is none.

        Of several classes with the name, the likeliest is found.
        """
        return self._id_by_folded_text.get(fold(text))

    def find_synonym(self, text: str) -> str | None:
        """Return the id of the likeliest class with this synonym, compared by :func:`fold`; None where there is none."""
        return next(iter(self.other_names.get(fold(text), ())), None)

    def other_meanings(self, text: str) -> tuple[str, ...]:
        """Return the ids of the further classes with this name or synonym, which :meth:`find` or :meth:`find_synonym` did not choose."""
        folded = fold(text)
        chosen = self.find(text) or self.find_synonym(text)
        meanings = (*self.namesakes.get(folded, ()), *self.other_names.get(folded, ()))
        return tuple(each for each in dict.fromkeys(meanings) if each != chosen)

    def at(self, number: int) -> ModelClass:
        """Return the class with the 1-based number of the detectors; one without name and id outside the list."""
        if 1 <= number <= len(self.names):
            return ModelClass(self.names[number - 1], self.ids[number - 1])
        return ModelClass("", "")

    def classes(self) -> tuple[ModelClass, ...]:
        """Return all classes, in their order."""
        return tuple(map(ModelClass, self.names, self.ids))

    def ancestors(self, of: str) -> Iterator[list[str]]:
        """Yield lists of the ids of a class's ancestors by distance: parents first, then their parents, each ancestor once."""
        seen = {of}
        level = [of]
        while level := list(dict.fromkeys(up for each in level for up in self.parents.get(each, ()) if up not in seen)):
            seen.update(level)
            yield level


def by_rank(ranked: Mapping[str, list[tuple[int, str]]]) -> dict[str, tuple[str, ...]]:
    """Return ids by text, the lowest rank first."""
    return {text: tuple(each for _, each in sorted(ids)) for text, ids in ranked.items()}


def read_rows(name: str) -> list[list[str]]:
    """Return the rows of a CSV file beside this module."""
    text = (resources.files("ml_backend.vocabularies") / name).read_text(encoding="utf-8")
    return list(csv.reader(text.splitlines()))
