"""Threshold stats: precision and recall of each label at every threshold."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml_backend.detections import iou
from ml_backend.feedback.evaluation.matching import SAME_OBJECT, right_in_order, same_label
from ml_backend.feedback.evaluation.outcomes import JudgedImage, edges_of, judged_images
from ml_backend.feedback.evaluation.statistics import Share
from ml_backend.feedback.store.annotation_records import Annotation
from ml_backend.postprocessing.label_split import SEPARATOR
from ml_backend.postprocessing.postprocessor import Postprocessor
from ml_backend.postprocessing.selection import FilterDecision, as_score, select, threshold_of

MIN_BOXES = 30  # below this number of boxes, no threshold is set, and figures are called small samples

GRID = np.round(np.arange(1, 100) / 100, 2)
"""The thresholds to choose from: two digits, as people write them into label configs; a finer grid would fit noise."""


SAME_LABEL, NO_LABEL, OTHER_LABEL = range(3)
"""The label that the class of a box has now: that of the box, none, or another one."""


class LabelKey(NamedTuple):
    """A label of a control."""

    control: str
    label: str


@dataclass
class LabelStats:
    """Statistics of one label: the boxes that could be shown under it, and the drawn ones.

    Attributes:
        scores: of the boxes after suppression, 0 to 1.
        right: of each, whether it is right when shown; see :func:`~ml_backend.feedback.evaluation.matching.right_in_order`.
        relabeled: of each, whether it fits a drawn box of another label that no box of that label fits.
        sure: of each, the probability of the label for its class, above 0.
        held: of each, the label that its class has now, such as :data:`SAME_LABEL`.
        pictures: of each, the number of its picture.
        saw_predictions: of each, whether the annotator had seen boxes.
        drawn: drawn boxes, by whether the annotator had seen boxes.
    """

    scores: list[float] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    saw_predictions: list[bool] = field(default_factory=list)
    drawn: Counter[bool] = field(default_factory=Counter)
    relabeled: list[bool] = field(default_factory=list)
    sure: list[float] = field(default_factory=list)
    held: bytearray = field(default_factory=bytearray)
    pictures: list[int] = field(default_factory=list)

    def precision(self, threshold: float, *, saw_predictions: bool | None = None) -> Share:
        """Return the share of right boxes among those shown at a threshold.

        Args:
            threshold: lowest score that is shown, 0 to 1.
            saw_predictions: only annotations whose annotators had seen boxes (True) or had not (False); None for all.
        """
        shown = np.array(self.scores, float) >= as_score(threshold)
        if saw_predictions is not None:
            shown &= np.array(self.saw_predictions, bool) == saw_predictions
        return Share(int(np.array(self.right, bool)[shown].sum()), int(shown.sum()))

    def recall(self, threshold: float, *, saw_predictions: bool | None = None) -> Share:
        """Return the share of drawn boxes that are found at a threshold; arguments as for :meth:`precision`."""
        drawn = self.drawn.total() if saw_predictions is None else self.drawn[saw_predictions]
        return Share(self.precision(threshold, saw_predictions=saw_predictions).hits, drawn)

    def at_every_threshold(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the numbers of shown and of right boxes at each threshold of :data:`GRID`, int64 [99] each."""
        order = np.argsort(self.scores)
        scores = np.array(self.scores, float)[order]
        begin = np.searchsorted(scores, GRID.astype(np.float32), side="left")  # float32, as as_score has it
        right = np.concatenate([[0], np.cumsum(np.array(self.right, np.int64)[order])])
        return len(scores) - begin, right[-1] - right[begin]


@dataclass
class ThresholdStats:
    """Statistics of a set of annotations under a postprocessor.

    Attributes:
        postprocessor: its label map and suppression count; its thresholds do not.
        labels: by control and label, those of the label config first.
        sure: the probability of the label for a class, by ``from_name`` of the control and the class (its MID, else its name); 1 for others.
        held: the label that a class has now, by the same, all labels of a split one together; empty for none. Other classes have that of the box.
        annotations: how many there are, including those without images; without skipped ones and predictions accepted in bulk.
        pictures: images of annotations, each counted under each control.
    """

    postprocessor: Postprocessor
    labels: dict[LabelKey, LabelStats]
    sure: Mapping[tuple[str, str], float] = field(default_factory=dict)
    held: Mapping[tuple[str, str], str] = field(default_factory=dict)
    annotations: int = 0
    pictures: int = 0

    def add_annotation(self, annotation: Annotation) -> None:
        """Add the images of an annotation, unless it was skipped or accepted in bulk."""
        if annotation.skipped or annotation.accepted:
            return
        self.annotations += 1
        for image in judged_images(annotation, self.postprocessor):
            self.add(image)

    def add(self, image: JudgedImage) -> None:
        """Add one image of an annotation."""
        control = image.control
        decisions = select(image.detections, control, image.label_map, None)
        best_first = sorted(
            (decision for decision in decisions if decision.kind == "kept"),
            key=lambda decision: -image.detections.scores[decision.row],
        )
        for box in image.drawn:
            self.of(LabelKey(control.from_name, box.label)).drawn[image.saw_predictions] += 1
        right: dict[int, bool] = {}
        for label in dict.fromkeys(decision.label for decision in best_first):
            rows = [decision.row for decision in best_first if decision.label == label]
            truth = edges_of([box for box in image.drawn if box.label == label])
            found = right_in_order(image.detections.boxes[rows], truth).tolist()
            right |= dict(zip(rows, found, strict=True))
        relabeled = _relabeled(image, best_first, right)
        names, mids = image.detections.class_names, image.detections.class_mids
        for decision in best_first:
            row = decision.row
            stats = self.of(LabelKey(control.from_name, decision.label))
            stats.scores.append(float(image.detections.scores[row]))
            stats.right.append(right[row])
            stats.relabeled.append(row in relabeled)
            known = (control.from_name, mids[row] or names[row])
            of_box = decision.assignment.probability if decision.assignment else 1.0
            stats.sure.append(self.sure.get(known, of_box))
            stats.held.append(_held(self.held.get(known), decision.label))
            stats.pictures.append(self.pictures)
            stats.saw_predictions.append(image.saw_predictions)
        self.pictures += 1

    def of(self, where: LabelKey) -> LabelStats:
        """Return the stats of a label, which need not be in the label config."""
        if where not in self.labels:
            self.labels[where] = LabelStats()
        return self.labels[where]


def _held(before: str | None, label: str) -> int:
    if before is None or label in before.split(SEPARATOR):
        return SAME_LABEL
    return OTHER_LABEL if before else NO_LABEL


def _relabeled(image: JudgedImage, best_first: list[FilterDecision], right: dict[int, bool]) -> set[int]:
    """Return the rows of boxes that fit a drawn box of another label which no right box fits, one for each drawn box."""
    wrong = [decision.row for decision in best_first if not right[decision.row]]
    if not wrong or not image.drawn:
        return set()
    fits = iou(image.detections.boxes[wrong], edges_of(image.drawn)) >= SAME_OBJECT
    if not fits.any():
        return set()
    label_of = {decision.row: decision.label for decision in best_first}
    drawn = [box.label for box in image.drawn]
    good = [row for row, is_right in right.items() if is_right]
    covered = (
        same_label([label_of[row] for row in good], drawn)
        & (iou(image.detections.boxes[good], edges_of(image.drawn)) >= SAME_OBJECT)
    ).any(axis=0)
    found = set()
    fits &= ~same_label([label_of[row] for row in wrong], drawn) & ~covered
    for place, row in enumerate(wrong):
        columns = np.flatnonzero(fits[place])
        if len(columns):
            found.add(row)
            fits[:, columns[0]] = False
    return found


def gather(annotations: Iterable[Annotation], postprocessor: Postprocessor) -> ThresholdStats:
    """Return the stats of annotations under a postprocessor."""
    stats = begin(postprocessor)
    for annotation in annotations:
        stats.add_annotation(annotation)
    return stats


def begin(postprocessor: Postprocessor) -> ThresholdStats:
    """Return empty stats for the labels of a postprocessor."""
    return ThresholdStats(postprocessor, {where: LabelStats() for where in labels_of(postprocessor)})


def labels_of(postprocessor: Postprocessor) -> list[LabelKey]:
    """Return the labels of a postprocessor's controls, in the order of the label config."""
    each = (
        LabelKey(control.from_name, label.value) for control, _ in postprocessor.rectangles for label in control.labels
    )
    return list(dict.fromkeys(each))  # two labels may share an alias


def threshold_in(postprocessor: Postprocessor, where: LabelKey) -> float:
    """Return the threshold of a label under a postprocessor; the general one for a label that is not in the label config."""
    for control, _ in postprocessor.rectangles:
        for label in control.labels:
            if (control.from_name, label.value) == where:
                return threshold_of(label, control, postprocessor.score_threshold)
    return postprocessor.score_threshold
