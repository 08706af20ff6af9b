"""The former rule for labels of classes, as a baseline for `learning.py`: a label needs ten agreeing corrections and a sure majority."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from ml_backend.detections import iou
from ml_backend.feedback.evaluation.matching import SAME_OBJECT
from ml_backend.feedback.evaluation.outcomes import edges_of
from ml_backend.feedback.evaluation.statistics import wilson
from ml_backend.feedback.store.annotation_records import Annotation
from ml_backend.postprocessing.overrides import LabelOverrides
from ml_backend.vocabularies.open_images import open_images_classes

MIN_CASES, CONSISTENT, WORTHWHILE = 10, 0.8, 0.5
MIN_KINDS, MIN_OF_A_KIND = 2, 3
Counts = dict[str, Counter[str]]


def learn_by_share(annotations: Sequence[Annotation], labels: Sequence[str], threshold: float) -> LabelOverrides:
    """Return the labels of classes by the former rule, for labels of which none is a class of the detector.

    Args:
        annotations: corrected ones, with one image each.
        labels: of the control ``label``.
        threshold: lowest score of a detection that counts, 0 to 1.
    """
    counts = _counts(annotations, labels, threshold)
    branches: dict[str, str] = {}
    for known, pooled in _branches(counts):
        label = _agreed(pooled)
        if label and not any(up in branches for up in _above(known)):
            branches[known] = label
    single = {known: _agreed(each) for known, each in counts.items()}
    classes = {known: label for known, label in single.items() if label}
    return LabelOverrides.of(
        {},
        {("label", known): label for known, label in classes.items()},
        {("label", known): label for known, label in branches.items()},
    )


def _counts(annotations: Sequence[Annotation], labels: Sequence[str], threshold: float) -> Counts:
    counts: Counts = defaultdict(Counter)
    for annotation in annotations:
        drawn = [box for box in annotation.drawn if box.label in labels]
        found = annotation.images[0].detections
        confident = np.flatnonzero(found.scores >= threshold)
        rows = confident[np.argsort(-found.scores[confident], kind="stable")].tolist()
        left = iou(found.boxes[rows], edges_of(drawn))
        for place, row in enumerate(rows):
            label = ""
            if drawn and left[place].max() >= SAME_OBJECT:
                column = int(left[place].argmax())
                label, left[:, column] = drawn[column].label, 0
            counts[found.class_mids[row] or found.class_names[row]][label] += 1
    return counts


def _branches(counts: Counts) -> Iterator[tuple[str, Counter[str]]]:
    below: dict[str, list[str]] = defaultdict(list)
    for known in counts:
        for up in _above(known):
            below[up].append(known)
    for up in sorted(below, key=lambda known: (len(_above(known)), known)):
        pooled: Counter[str] = sum((counts[known] for known in below[up]), Counter())
        label = _commonest(pooled)
        if label and sum(counts[known][label] >= MIN_OF_A_KIND for known in below[up]) >= MIN_KINDS:
            yield up, pooled


def _above(known: str) -> list[str]:
    return [up for level in open_images_classes().ancestors(known) for up in level]


def _agreed(counts: Counter[str]) -> str:
    label = _commonest(counts)
    hits, total = counts[label], counts.total() - counts[""]
    agreed = (
        label and hits >= MIN_CASES and wilson(hits, total)[0] >= CONSISTENT and hits >= WORTHWHILE * counts.total()
    )
    return label if agreed else ""


def _commonest(counts: Counter[str]) -> str:
    return max(sorted(label for label in counts if label), key=counts.__getitem__, default="")
