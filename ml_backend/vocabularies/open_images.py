"""The 601 boxable classes of Open Images V4: MIDs, readable names, class numbers of the detectors, and the hierarchy."""

from functools import lru_cache

from ml_backend.vocabularies.class_list import ClassList, ModelClass, fold, read_rows
from ml_backend.vocabularies.synonyms import SYNONYMS


def is_mid(text: str) -> bool:
    """Tell whether a text is a machine identifier (MID) of the Knowledge Graph rather than a readable name."""
    return text.startswith(("/m/", "/g/"))


@lru_cache(maxsize=1)
def open_images_classes() -> ClassList:
    """Read the class list from the files beside this module; the source is in their ``README.md``."""
    mids, names = zip(*read_rows("open_images_classes.csv"), strict=True)
    parents: dict[str, tuple[str, ...]] = {}
    for child, parent in read_rows("open_images_hierarchy.csv"):
        parents[child] = (*parents.get(child, ()), parent)
    mid_of = dict(zip(names, mids, strict=True))
    synonyms = {fold(word): (mid_of[name],) for name, words in SYNONYMS.items() for word in words}
    return ClassList(ids=mids, names=names, parents=parents, other_names=synonyms)


def open_images_class(name: str) -> ModelClass:
    """Return a class of another list, with the MID of the Open Images class that has this name or synonym."""
    known = open_images_classes()
    return ModelClass(name, known.find(name) or known.find_synonym(name) or "")
