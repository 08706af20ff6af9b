"""Threshold stats: precision and recall of each label at every threshold, and the labels that people gave to classes."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml_backend.detections import iou
from ml_backend.feedback.evaluation.matching import SAME_OBJECT, right_in_order, same_label
from ml_backend.feedback.evaluation.outcomes import MatchedImage, edges_of, matched_images
from ml_backend.feedback.evaluation.statistics import Share
from ml_backend.feedback.store.annotation_records import Annotation
from ml_backend.postprocessing.postprocessor import Postprocessor
from ml_backend.postprocessing.selection import as_score, select, threshold_of

MIN_BOXES = 30  # below this number of boxes, no threshold is set, and figures are called small samples

GRID = np.round(np.arange(1, 100) / 100, 2)
"""The thresholds to choose from: two digits, as people write them into label configs; a finer grid would fit noise."""


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
        saw_predictions: of each, whether the annotator had seen boxes.
        drawn: drawn boxes, by whether the annotator had seen boxes.
    """

    scores: list[float] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    saw_predictions: list[bool] = field(default_factory=list)
    drawn: Counter[bool] = field(default_factory=Counter)

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
        classes: by control and class (its MID, else its name): counts of the labels of drawn boxes that match a box of the class with at
            least the postprocessor's threshold. An empty label stands for boxes without a drawn box of their own.
        annotations: how many there are, including those without images; without skipped ones and predictions accepted in bulk.
    """

    postprocessor: Postprocessor
    labels: dict[LabelKey, LabelStats]
    classes: dict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    annotations: int = 0

    def add(self, image: MatchedImage) -> None:
        """Add one image of an annotation."""
        self._add_boxes(image)
        self._add_classes(image)

    def _add_boxes(self, image: MatchedImage) -> None:
        control = image.control
        decisions = select(image.detections, control, image.label_map, None)
        best_first = sorted(
            (decision for decision in decisions if decision.kind == "kept"),
            key=lambda decision: -image.detections.scores[decision.row],
        )
        for box in image.drawn:
            self.of(LabelKey(control.from_name, box.label)).drawn[image.saw_predictions] += 1
        for label in dict.fromkeys(decision.label for decision in best_first):
            rows = [decision.row for decision in best_first if decision.label == label]
            truth = edges_of([box for box in image.drawn if box.label == label])
            stats = self.of(LabelKey(control.from_name, label))
            stats.scores += image.detections.scores[rows].tolist()
            stats.right += right_in_order(image.detections.boxes[rows], truth).tolist()
            stats.saw_predictions += [image.saw_predictions] * len(rows)

    def _add_classes(self, image: MatchedImage) -> None:
        detections = image.detections
        confident = np.flatnonzero(detections.scores >= self.postprocessor.score_threshold)
        rows = confident[np.argsort(-detections.scores[confident], kind="stable")].tolist()
        overlaps = iou(detections.boxes[rows], edges_of(image.drawn))
        labels = [box.label for box in image.drawn]
        own = same_label([image.decisions[row].label for row in rows], labels)
        # A drawn box that matches a box of its own label is taken; only the rest can be a class under another name.
        called = dict(_greedily(np.where(own, overlaps, 0)))
        overlaps[:, list(called.values())] = 0
        overlaps[list(called), :] = 0
        called |= _greedily(overlaps)
        for place, row in enumerate(rows):
            if (
                name := detections.class_mids[row] or detections.class_names[row]
            ):  # detectors number classes beyond their list
                label = labels[called[place]] if place in called else ""
                self.classes[image.control.from_name, name][label] += 1

    def of(self, where: LabelKey) -> LabelStats:
        """Return the stats of a label, which need not be in the label config."""
        return self.labels.setdefault(where, LabelStats())


def _greedily(overlaps: NDArray[np.float32]) -> dict[int, int]:
    """Give each row, in order, the free column that it overlaps most; rows are by falling score."""
    left = overlaps.copy()
    taken: dict[int, int] = {}
    for row in range(len(left)):
        if left.shape[1] and left[row].max() >= SAME_OBJECT:
            taken[row] = int(left[row].argmax())
            left[:, taken[row]] = 0
    return taken


def gather(annotations: Iterable[Annotation], postprocessor: Postprocessor) -> ThresholdStats:
    """Return the stats of annotations under a postprocessor."""
    stats = begin(postprocessor)
    for annotation in annotations:
        if annotation.skipped or annotation.accepted:
            continue
        stats.annotations += 1
        for image in matched_images(annotation, postprocessor):
            stats.add(image)
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
