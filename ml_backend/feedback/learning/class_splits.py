"""Split labels of classes: which classes have several labels, and what tells their boxes apart."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np

from ml_backend.feedback.learning.drawn_boxes import MOST_BOXES, DrawnBoxes
from ml_backend.feedback.learning.posterior import Parents
from ml_backend.feedback.learning.split_fit import SplitFit, fit_split
from ml_backend.postprocessing.label_split import LabelSplit

MIN_BOXES = 2  # of a label
MOST_LABELS = 20  # in a fit, whose time grows with their square: those with the most boxes
MIN_GAIN = -1.0  # of a fit: people who give a class two labels of their own mostly see a difference, so odds of 1 to e against it are enough
DIGITS = 4  # of numbers in revisions

Probabilities = Mapping[str, float]
Fit = tuple[Sequence[str], SplitFit]


class ClassSplits:
    """The splits of classes that have no label by their name, from their own boxes or, where these are too few, from those of their relatives.

    Args:
        boxes: that people drew, by class.
        labels: that boxes of one class can have.
        probabilities: returns those of the labels for a class.
        parents: returns the direct superclasses of a class.
    """

    def __init__(
        self,
        boxes: Mapping[str, DrawnBoxes],
        labels: Sequence[str],
        probabilities: Callable[[str], Probabilities],
        parents: Parents,
    ) -> None:
        self._boxes, self._labels, self._probabilities, self._parents = boxes, labels, probabilities, parents
        self._below: dict[str, list[str]] = defaultdict(list)
        for known in boxes:
            for each in _upwards(known, parents):
                self._below[each].append(known)
        self._fits: dict[str, Fit | None] = {}

    def of(self, known: str, options: Collection[str]) -> LabelSplit | None:
        """Return the split of a class, by the nearest fit: its own, or that of a class above it with all boxes below that; None without one.

        Args:
            known: the class.
            options: labels that it can have.
        """
        for each in _upwards(known, self._parents):
            if each not in self._fits:
                some = [(self._boxes[below], self._probabilities(below)) for below in self._below.get(each, ())]
                self._fits[each] = _fit(some, self._labels)
            split = _split(self._fits[each], self._probabilities(known), options)
            if split is not None:
                return split
        return None


def split_of(boxes: DrawnBoxes, labels: Sequence[str], probabilities: Probabilities) -> LabelSplit | None:
    """Return the split of a class by its own boxes; None where they have one label, or look alike.

    Args:
        boxes: of the class.
        labels: that they can have.
        probabilities: of the labels for the class.
    """
    return _split(_fit([(boxes, probabilities)], labels), probabilities, labels)


def _fit(groups: Sequence[tuple[DrawnBoxes, Probabilities]], labels: Sequence[str]) -> Fit | None:
    """Return what tells the labels of boxes apart, given in groups with the probabilities of the labels for their class."""
    counts = sum((Counter(boxes.labels) for boxes, _ in groups), Counter[str]())
    most = sorted(labels, key=lambda label: -counts[label])[:MOST_LABELS]
    used = [label for label in labels if label in most and counts[label] >= MIN_BOXES]
    if len(used) < 2:
        return None
    some = slice(None, None, -(-counts.total() // MOST_BOXES))
    rows = [
        (features, used.index(label), [probabilities[each] for each in used])
        for boxes, probabilities in groups
        for features, label in zip(boxes.features()[some], boxes.labels[some], strict=True)
        if label in used
    ]
    features, drawn, offsets = zip(*rows, strict=True)
    fit = fit_split(np.array(features), np.array(drawn), np.array(offsets))
    return (used, fit) if fit.gain > MIN_GAIN else None


def _split(found: Fit | None, probabilities: Probabilities, options: Collection[str]) -> LabelSplit | None:
    if found is None:
        return None
    labels, fit = found
    split = LabelSplit(
        tuple(labels),
        tuple(round(probabilities[label], DIGITS) for label in labels),
        tuple(np.round(fit.centre, DIGITS).tolist()),
        tuple(map(tuple, np.round(fit.weights, DIGITS).tolist())),
        (0.0,) * len(labels),
    ).limited_to([label for label in options if round(probabilities[label], DIGITS) > 0])
    return split if split is not None and len(split.labels) > 1 else None


def _upwards(known: str, parents: Parents) -> Iterator[str]:
    """Yield a class, then the classes above it, the nearest first."""
    level, seen = [known], set[str]()
    while level:
        yield from level
        seen.update(level)
        level = [up for up in dict.fromkeys(up for each in level for up in parents(each)) if up not in seen]
