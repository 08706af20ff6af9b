"""The 1000 classes of ImageNet (ILSVRC-2012), and the synsets of WordNet 3.0 above them.

A class has the names of its synset. WordNet numbers the meanings of a word, from the most frequent one; where several synsets have one name,
the number decides which is meant: ``car`` is the motor car and not the railway car, which has the second number.
"""

from collections import defaultdict
from functools import lru_cache

from ml_backend.vocabularies.class_list import ClassList, ModelClass, by_rank, fold, read_rows

BACKGROUND = ModelClass("background", "")
"""The first of 1001 outputs, which stands for none of the classes."""


@lru_cache(maxsize=1)
def imagenet_synsets() -> ClassList:
    """Read the classes and all synsets above them from the file beside this module; the source is in ``README.md``."""
    ids, names = [], []
    parents = {}
    named: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    also_named: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for synset, _, numbered, hypernyms in read_rows("imagenet_synsets.csv")[1:]:
        words = [word.rsplit(":", 1) for word in numbered.split("; ")]
        ids.append(synset)
        names.append(words[0][0])
        parents[synset] = tuple(hypernyms.split())
        for place, (word, meaning) in enumerate(words):
            (also_named if place else named)[fold(word)].append((int(meaning), synset))
    return ClassList(tuple(ids), tuple(names), parents, by_rank(also_named), by_rank(named))


@lru_cache(maxsize=1)
def imagenet_classes() -> tuple[ModelClass, ...]:
    """Return the 1000 classes in the order of the published classifiers."""
    name_of = imagenet_synsets().name_by_id
    rows = sorted((int(output), synset) for synset, output, _, _ in read_rows("imagenet_synsets.csv")[1:] if output)
    return tuple(ModelClass(name_of[synset], synset) for _, synset in rows)


def imagenet_class(name: str) -> ModelClass:
    """Return a class of another list, with the synset that has this name, synonym or id."""
    known = imagenet_synsets()
    return ModelClass(name, known.find(name) or known.find_synonym(name) or "")
