"""Figures of each annotator: outcomes of shown boxes, seconds a box, agreement with others, and boxes that were kept too often."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml_backend.detections import iou
from ml_backend.feedback.evaluation.matching import Boxes, assign
from ml_backend.feedback.evaluation.outcomes import SHOWN_OUTCOMES, MatchedImage, count_edits, edges_of
from ml_backend.feedback.evaluation.statistics import Share, wilson, wilson_difference
from ml_backend.feedback.evaluation.threshold_stats import MIN_BOXES, ThresholdStats, threshold_in
from ml_backend.feedback.store.annotation_records import Annotation
from ml_backend.label_studio.labelled_boxes import LabelledBox
from ml_backend.postprocessing.selection import as_score

MIN_TIMED = 5  # annotations with a usable time, below which no median is given

Annotator = int | None
"""The id of a user of Label Studio; None if it is unknown."""


def has_edit_time(annotation: Annotation) -> bool:
    """Tell whether the time of an annotation is that of looking through shown boxes: not of skipped or audited ones, or of those without any."""
    unknown = annotation.shown is None or annotation.lost or not annotation.images
    beside = annotation.skipped or annotation.accepted or annotation.audited
    return not (beside or unknown) and bool(annotation.seconds)


@dataclass
class Agreement:
    """The agreement of annotators on tasks that several of them annotated.

    Attributes:
        matched: pairs of boxes, one to one, of the same label and image, with an IoU of at least
            :data:`~ml_backend.feedback.evaluation.matching.SAME_OBJECT`.
        boxes: of both annotators, summed over the pairs of annotations.
        tasks: that somebody else annotated, too.
    """

    matched: int = 0
    boxes: int = 0
    tasks: int = 0

    @property
    def value(self) -> float | None:
        """The F1 score, 0 to 1: twice the pairs by the boxes of both; None with fewer than :data:`MIN_BOXES` boxes of both."""
        return 2 * self.matched / self.boxes if self.boxes >= MIN_BOXES else None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values, with Wilson's 95 % interval for half of the boxes, since a pair has two of them."""
        low, high = wilson(self.matched, self.boxes / 2)
        return {**vars(self), "f1": self.value, "low": low, "high": high}


class Excess(NamedTuple):
    """The share of right boxes in an annotator's work, less the same share on audited images, where nobody saw boxes.

    Attributes:
        kept: of the boxes that would be shown now on the images where the annotator saw boxes, those that are right by that work.
        audited: the same on all audited images, by whoever annotated them.
    """

    kept: Share
    audited: Share

    @property
    def value(self) -> float | None:
        """The difference, -1 to 1; None with fewer than :data:`MIN_BOXES` boxes on either side."""
        if min(self.kept.total, self.audited.total) < MIN_BOXES:
            return None
        return self.kept.hits / self.kept.total - self.audited.hits / self.audited.total

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values, with the 95 % interval of the difference."""
        low, high = wilson_difference(self.kept, self.audited)
        shares = {"kept": self.kept.to_json(), "audited": self.audited.to_json()}
        return {**shares, "value": self.value, "low": low, "high": high}


NO_EXCESS = Excess(Share(0, 0), Share(0, 0))


@dataclass
class AnnotatorFigures:
    """The figures of one annotator.

    Attributes:
        annotator: the id.
        name: to show; as in :func:`named`.
        annotations: those that could be evaluated.
        shown: outcomes of the boxes that the annotator saw.
        drawn: boxes that come from no shown box.
        seconds_a_box: time by submitted boxes, for each annotation with a usable time (:func:`has_edit_time`) and at least one box.
        agreement: with other annotators.
        excess: right boxes beyond those on audited images.
    """

    annotator: Annotator
    name: str = ""
    annotations: int = 0
    shown: Counter[str] = field(default_factory=Counter)
    drawn: int = 0
    seconds_a_box: list[float] = field(default_factory=list)
    agreement: Agreement = field(default_factory=Agreement)
    excess: Excess = NO_EXCESS

    @property
    def median_seconds(self) -> float | None:
        """The median of the seconds a box; None with fewer than :data:`MIN_TIMED` annotations."""
        return statistics.median(self.seconds_a_box) if len(self.seconds_a_box) >= MIN_TIMED else None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "annotator": self.annotator,
            "name": self.name,
            "annotations": self.annotations,
            "shown": {name: self.shown[name] for name in SHOWN_OUTCOMES},
            "drawn": self.drawn,
            "median_seconds_a_box": self.median_seconds,
            "timed": len(self.seconds_a_box),
            "agreement": self.agreement.to_json(),
            "kept_too_often": self.excess.to_json(),
        }


class _Submitted(NamedTuple):
    """The boxes of an annotation, small: float32 [N, 4], and for each the number of its control, item and label."""

    annotator: Annotator
    edges: Boxes
    places: NDArray[np.int64]


class AnnotatorTally:
    """Adds up the figures of annotators."""

    def __init__(self) -> None:
        self._figures: dict[Annotator, AnnotatorFigures] = {}
        self._submitted: dict[int, list[_Submitted]] = defaultdict(list)  # by task
        self._places: dict[tuple[str, int, str], int] = {}
        # Of each picture of the threshold stats: who annotated it, and whether its boxes were withheld.
        self._pictures: list[tuple[Annotator, bool]] = []

    def add(self, annotation: Annotation, images: Sequence[MatchedImage], outcomes: Sequence[Sequence[Any]]) -> None:
        """Add an annotation, unless it has no images for boxes.

        Args:
            annotation: that counts in the report.
            images: of the annotation, in the order in which they are added to the threshold stats.
            outcomes: of the shown boxes of each image.
        """
        if not images:
            return
        figures = self._figures.setdefault(annotation.annotator, AnnotatorFigures(annotation.annotator))
        figures.annotations += 1
        for image, shown in zip(images, outcomes, strict=True):
            self._pictures.append((annotation.annotator, annotation.audited))
            if image.saw_predictions and not annotation.lost:
                figures.shown.update(shown)
                figures.drawn += count_edits(image, shown)["added"]
            elif not annotation.lost:
                figures.drawn += len(image.drawn)
        drawn = [box for image in images for box in image.drawn]
        if drawn and annotation.seconds is not None and has_edit_time(annotation):
            figures.seconds_a_box.append(annotation.seconds / len(drawn))
        places = np.array([self._place(box) for box in drawn], np.int64)
        self._submitted[annotation.task].append(_Submitted(annotation.annotator, edges_of(drawn), places))

    def _place(self, box: LabelledBox) -> int:
        return self._places.setdefault((box.control, box.item, box.label), len(self._places))

    def finish(self, stats: ThresholdStats) -> list[AnnotatorFigures]:
        """Return the figures, by falling number of annotations.

        Args:
            stats: of the same images.
        """
        for annotations in self._submitted.values():
            self._compare(annotations)
        for annotator, excess in self._excess(stats):
            self._figures[annotator].excess = excess
        return sorted(self._figures.values(), key=lambda each: (-each.annotations, each.annotator or 0))

    def _compare(self, annotations: Sequence[_Submitted]) -> None:
        """Add the agreement on one task: each annotation is compared with each one of another annotator."""
        known = [each for each in annotations if each.annotator is not None]
        if len({each.annotator for each in known}) < 2:
            return
        for annotator in {each.annotator for each in known}:
            self._figures[annotator].agreement.tasks += 1
        for one, other in combinations(known, 2):
            if one.annotator == other.annotator:
                continue
            same = one.places[:, None] == other.places[None, :]
            matched = len(assign(np.where(same, iou(one.edges, other.edges), 0)))
            for each in (one, other):
                agreement = self._figures[each.annotator].agreement
                agreement.matched += matched
                agreement.boxes += len(one.places) + len(other.places)

    def _excess(self, stats: ThresholdStats) -> Iterator[tuple[Annotator, Excess]]:
        """Yield the excess of each annotator."""
        saw: Counter[Annotator] = Counter()
        right: Counter[Annotator] = Counter()
        audited = [0, 0]
        for where, label in stats.labels.items():
            threshold = as_score(threshold_in(stats.postprocessor, where))
            rows = zip(label.scores, label.right, label.saw_predictions, label.pictures, strict=True)
            for score, is_right, saw_predictions, picture in rows:
                if score < threshold:
                    continue
                annotator, withheld = self._pictures[picture]
                if saw_predictions:
                    saw[annotator] += 1
                    right[annotator] += is_right
                elif withheld:
                    audited[0] += is_right
                    audited[1] += 1
        for annotator in self._figures:
            yield annotator, Excess(Share(right[annotator], saw[annotator]), Share(audited[0], audited[1]))


def named(figures: Sequence[AnnotatorFigures], name_of: Callable[[int], str] = "annotator {}".format) -> None:
    """Write names into figures.

    Args:
        figures: of the annotators.
        name_of: returns the name of a user of Label Studio by id.
    """
    for each in figures:
        each.name = "(unknown)" if each.annotator is None else name_of(each.annotator)


def anonymize(figures: Sequence[AnnotatorFigures]) -> None:
    """Replace ids and names by "annotator 1", "annotator 2", in the order of the figures."""
    for number, each in enumerate(figures, 1):
        each.annotator, each.name = None, f"annotator {number}"
