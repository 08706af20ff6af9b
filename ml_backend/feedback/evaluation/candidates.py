"""Candidates for a second look: boxes that people drew and the detections contradict, and confident detections that nobody drew.

They are candidates and not errors: most of them are right, since the detector errs more often than people. They are ranked by the probability
that the detector is right, which the caller gives for each detection and each label. `docs/human-in-the-loop.md` has the measured precision.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ml_backend.detections import iou
from ml_backend.feedback.evaluation.matching import SAME_OBJECT, assign, same_label
from ml_backend.feedback.evaluation.outcomes import JudgedImage, edges_of
from ml_backend.label_studio.labelled_boxes import LabelledBox
from ml_backend.postprocessing.selection import select

CandidateKind = Literal["another label", "badly placed", "nothing there", "overlooked"]
KINDS: tuple[CandidateKind, ...] = ("another label", "badly placed", "nothing there", "overlooked")

LIKELY = 0.3  # probability from which a detection finds a box or contradicts one
LISTED = 0.1  # probability from which a candidate is listed
NEAR = 0.1  # IoU from which a detection and a box are near each other
AREAS = (0.01, 0.1)  # of the image: the limits of the three sizes of boxes, as COCO has three
PRIOR_BOXES = 4.0  # boxes that the recall of all labels counts for in that of one label

CAUTION = (
    "These are candidates, not errors: with errors in 10 % of the boxes of 80 photographs, a third of the first 20 was wrong "
    "(5 labels; two fifths with 80)."
)

Edges = tuple[float, float, float, float]
Probabilities = NDArray[np.float64]


@dataclass(frozen=True)
class Candidate:
    """A box to look at again.

    Attributes:
        kind: what may be wrong.
        probability: that the detector is right, 0 to 1, as far as scores and classes say; people are right more often.
        task, annotation: ids of Label Studio.
        annotator: id of Label Studio; None if it is unknown.
        control: ``from_name`` of the control.
        item: index of the image in a list; 0 where there is one image.
        label: that somebody drew; empty for an overlooked object, and for a box without a label.
        drawn: ``ymin, xmin, ymax, xmax`` of the drawn box, normalized; None for an overlooked object.
        detected_label: label of the detection; empty where nothing is there.
        detected: its box; None where nothing is there.
        reference: the image reference in the task; empty for long ones.
    """

    kind: CandidateKind
    probability: float
    task: int
    annotation: int
    annotator: int | None
    control: str
    item: int
    label: str
    drawn: Edges | None
    detected_label: str
    detected: Edges | None
    reference: str

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return vars(self)


@dataclass(frozen=True)
class ReviewedImage:
    """One image of one annotation, with the probabilities of its detections.

    Attributes:
        image: with the drawn boxes and all detections.
        task, annotation: ids of Label Studio.
        annotator: id of Label Studio; None if it is unknown.
        labels: that could be drawn.
        probabilities: float64 [N, L], that each detection is right under each label, 0 to 1.
    """

    image: JudgedImage
    task: int
    annotation: int
    annotator: int | None
    labels: Sequence[str]
    probabilities: Probabilities


class Recall:
    """The share of drawn boxes that the detector finds, by label and size. Labels with few boxes lean on all labels."""

    def __init__(self) -> None:
        self._found: Counter[tuple[str | None, int]] = Counter()
        self._boxes: Counter[tuple[str | None, int]] = Counter()

    def add(self, reviewed: ReviewedImage) -> None:
        """Add the drawn boxes of an image."""
        for box, support in zip(reviewed.image.drawn, _support(reviewed).tolist(), strict=True):
            for key in ((box.label, _size(box)), (None, _size(box))):
                self._boxes[key] += 1
                self._found[key] += support >= LIKELY

    def of(self, box: LabelledBox) -> float:
        """Return the share for the label and size of a box, 0 to 1."""
        of_label, of_all = (box.label, _size(box)), (None, _size(box))
        general = (self._found[of_all] + 1) / (self._boxes[of_all] + 2)
        return (self._found[of_label] + PRIOR_BOXES * general) / (self._boxes[of_label] + PRIOR_BOXES)


@dataclass
class _Found:
    """The contradictions of one image: for each drawn box the strongest one, and overlooked objects."""

    by_box: dict[int, tuple[float, CandidateKind, int | None]] = field(default_factory=dict)
    overlooked: list[tuple[float, int]] = field(default_factory=list)

    def add(self, column: int, probability: float, kind: CandidateKind, row: int | None) -> None:
        if probability > self.by_box.get(column, (0.0,))[0]:
            self.by_box[column] = (probability, kind, row)


def find_candidates(reviewed: ReviewedImage, recall: Recall) -> Iterator[Candidate]:
    """Yield the candidates of one image, one for each drawn box at most.

    A detection counts under its most probable label, from :data:`LIKELY` on, unless a better one of its label suppresses it. Detections that
    are paired with drawn boxes of their label, one to one, explain them, and neither are candidates. Of the rest:

    - **another label**: a drawn box fits a detection of another label (IoU of at least
      :data:`~ml_backend.feedback.evaluation.matching.SAME_OBJECT`). P(detection) times the probability that no detection supports the drawn
      label.
    - **badly placed**: a drawn box is near one of its label (IoU of at least :data:`NEAR`). P(detection).
    - **nothing there**: a drawn box, by the recall for its label and size times the probability that nothing near it is right.
    - **overlooked**: a detection without a drawn box near it. P(detection).

    Args:
        reviewed: the image.
        recall: of the project.
    """
    image, drawn = reviewed.image, reviewed.image.drawn
    overlaps = iou(image.detections.boxes, edges_of(drawn))
    best, certainty = _most_probable(reviewed)
    same = same_label(best, [box.label for box in drawn])
    rows = _confident(image, certainty)
    pairs = assign(np.where(same[rows], overlaps[rows], 0))
    matched = {column for _, column in pairs}
    paired = {place for place, _ in pairs}
    free = [row for place, row in enumerate(rows) if place not in paired]
    found = _Found()
    support = _support(reviewed)
    anything = reviewed.probabilities.sum(axis=1)  # that somebody would draw something there
    unmatched = [column for column in range(len(drawn)) if column not in matched]
    for row in free if unmatched else ():
        column = unmatched[int(overlaps[row, unmatched].argmax())]  # a detection speaks about one box
        overlap, p = overlaps[row, column], float(certainty[row])
        if overlap >= SAME_OBJECT and not same[row, column]:
            found.add(column, p * (1 - float(support[column])), "another label", row)
        elif NEAR <= overlap < SAME_OBJECT and same[row, column]:
            found.add(column, p, "badly placed", row)
    for column in unmatched:
        near = anything[overlaps[:, column] >= NEAR].max(initial=0.0)
        found.add(column, recall.of(drawn[column]) * max(0.0, 1 - float(near)), "nothing there", None)
    found.overlooked = [(float(certainty[row]), row) for row in free if overlaps[row].max(initial=0.0) < NEAR]
    yield from _candidates(reviewed, found, best)


def _candidates(reviewed: ReviewedImage, found: _Found, best: Sequence[str]) -> Iterator[Candidate]:
    image = reviewed.image

    def candidate(kind: CandidateKind, probability: float, box: LabelledBox | None, row: int | None) -> Candidate:
        return Candidate(
            kind,
            probability,
            reviewed.task,
            reviewed.annotation,
            reviewed.annotator,
            image.control.from_name,
            image.item,
            box.label if box else "",
            box.edges if box else None,
            "" if row is None else best[row],
            None if row is None else _inside(image.detections.boxes[row]),
            image.reference,
        )

    for column, (probability, kind, row) in found.by_box.items():
        yield candidate(kind, probability, image.drawn[column], row)
    for probability, row in found.overlooked:
        yield candidate("overlooked", probability, None, row)


def _most_probable(reviewed: ReviewedImage) -> tuple[list[str], Probabilities]:
    """Return the most probable label of each detection, and its probability."""
    if not reviewed.labels:
        return [""] * len(reviewed.probabilities), np.zeros(len(reviewed.probabilities))
    places = reviewed.probabilities.argmax(axis=1).tolist()
    return [reviewed.labels[place] for place in places], reviewed.probabilities.max(axis=1)


def _confident(image: JudgedImage, certainty: Probabilities) -> list[int]:
    """Return the rows of the detections that can contradict, without those that a better one of their label suppresses."""
    decisions = select(image.detections, image.control, image.label_map, None)
    return [each.row for each in decisions if each.kind != "suppressed" and certainty[each.row] >= LIKELY]


def _support(reviewed: ReviewedImage) -> Probabilities:
    """Return the probability of the best detection that fits each drawn box, under the label of the box, float64 [M]."""
    drawn = reviewed.image.drawn
    fits = iou(reviewed.image.detections.boxes, edges_of(drawn)) >= SAME_OBJECT
    columns: dict[str, int] = {label: place for place, label in enumerate(reviewed.labels)}
    return np.array(
        [
            reviewed.probabilities[fits[:, place], columns[box.label]].max(initial=0.0) if box.label in columns else 0.0
            for place, box in enumerate(drawn)
        ],
        np.float64,
    )


def _size(box: LabelledBox) -> int:
    ymin, xmin, ymax, xmax = box.edges
    return int(np.digitize((ymax - ymin) * (xmax - xmin), AREAS))


def _inside(edges: NDArray[np.float32]) -> Edges:
    ymin, xmin, ymax, xmax = np.clip(edges.astype(np.float64), 0, 1).tolist()
    return ymin, xmin, ymax, xmax


@dataclass(frozen=True)
class Review:
    """The candidates of a project.

    Attributes:
        annotations: that were looked at.
        drawn: boxes in them.
        counts: candidates of each kind.
        candidates: the first ones, by falling probability.
    """

    annotations: int
    drawn: int
    counts: Mapping[str, int]
    candidates: Sequence[Candidate]

    @property
    def tasks(self) -> list[int]:
        """The tasks of the candidates, without repetition, in their order."""
        return list(dict.fromkeys(each.task for each in self.candidates))

    def to_json(self, link: Callable[[int], str]) -> dict[str, Any]:
        """Return it as plain JSON values; ``link`` returns the address of a task."""
        return {
            "annotations": self.annotations,
            "drawn": self.drawn,
            "caution": CAUTION,
            "counts": dict(self.counts),
            "candidates": [each.to_json() | {"url": link(each.task)} for each in self.candidates],
        }
