"""Outcomes of boxes: what annotators did with each shown box, and whether each drawn box was shown."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ml_backend.detections import Detections, iou
from ml_backend.feedback.evaluation.matching import Boxes, assign, match, same_label
from ml_backend.feedback.store.annotation_records import Annotation
from ml_backend.label_studio.controls.rectangles import RectangleControl
from ml_backend.label_studio.labelled_boxes import LabelledBox
from ml_backend.model_results import ModelResults
from ml_backend.postprocessing.label_map import LabelMap
from ml_backend.postprocessing.postprocessor import Postprocessor
from ml_backend.postprocessing.selection import FilterDecision

UNTOUCHED = 0.95  # IoU from which a box counts as kept: a pixel more or less is no correction
SUSPECTED = 0.05  # lowest score at which a detection under another label counts as the same object
IDENTICAL = 0.99  # IoU from which a shown box and a detection are one and the same

Flags = NDArray[np.bool_]
ShownOutcome = Literal["kept", "nudged", "relabeled", "deleted"]
DrawnOutcome = Literal["found", "hidden", "other label", "not found"]
SHOWN_OUTCOMES: tuple[ShownOutcome, ...] = ("kept", "nudged", "relabeled", "deleted")
DRAWN_OUTCOMES: tuple[DrawnOutcome, ...] = ("found", "hidden", "other label", "not found")


LOWEST = 0.01  # score, and lowest threshold that is learned; of the shared detector 43 % of all detections are below


@dataclass(frozen=True)
class JudgedImage:
    """One image of one annotation, under one control.

    Attributes:
        control, label_map: of the postprocessor.
        detections: those that the control can show, with a score of at least :data:`LOWEST`.
        drawn: the submitted boxes.
        saw_predictions: whether the annotator saw boxes.
        item: index of the image in a list; 0 where there is one image.
        reference: the image reference in the task; empty for long ones.
    """

    control: RectangleControl
    label_map: LabelMap
    detections: Detections
    drawn: list[LabelledBox]
    saw_predictions: bool
    item: int
    reference: str


@dataclass(frozen=True)
class MatchedImage(JudgedImage):
    """The same with the boxes that were shown, and with all detections.

    Attributes:
        decisions: of the postprocessor on each detection.
        shown: the boxes that the annotator saw; if there were none, those that would be shown now.
    """

    decisions: list[FilterDecision]
    shown: list[LabelledBox]


def judged_images(annotation: Annotation, postprocessor: Postprocessor) -> Iterator[JudgedImage]:
    """Yield the images of an annotation under each control, for a postprocessor limited to the labels of that time."""
    saw_predictions = _saw_predictions(annotation)
    for control, label_map in postprocessor.limited_to(annotation.drawable).rectangles:
        image_field = control.image_field
        images = [each for each in annotation.images if each.key == image_field.key]
        # Items are counted as in matched_images: images of a list that could not be read are not there.
        for item, image in enumerate(each for each in images if image_field.is_list or each.item == 0):
            drawn = [box for box in annotation.drawn if (box.control, box.item) == (control.from_name, item)]
            seen = image.detections.seen_in(control.models)
            detections = seen.chosen(np.flatnonzero(seen.scores >= np.float32(LOWEST)).tolist())
            yield JudgedImage(control, label_map, detections, drawn, saw_predictions, item, image.reference)


def _saw_predictions(annotation: Annotation) -> bool:
    return annotation.lost or (annotation.shown is not None and not annotation.audited)


def matched_images(annotation: Annotation, postprocessor: Postprocessor) -> Iterator[MatchedImage]:
    """Yield the images of an annotation under each control, for a postprocessor limited to the labels of that time."""
    postprocessor = postprocessor.limited_to(annotation.drawable)
    # The label config may have changed since: images under other keys are left out.
    images = {
        image_field: [
            image
            for image in annotation.images
            if image.key == image_field.key and (image_field.is_list or image.item == 0)
        ]
        for image_field in postprocessor.needs
    }
    found = {image_field: [ModelResults(image.detections) for image in each] for image_field, each in images.items()}
    saw_predictions = _saw_predictions(annotation)
    label_maps = {control.from_name: label_map for control, label_map in postprocessor.rectangles}
    for control, item, detections, decisions in postprocessor.explain(found):
        here = (control.from_name, item)
        drawn = [box for box in annotation.drawn if (box.control, box.item) == here]
        if saw_predictions:
            shown = [box for box in annotation.shown or () if (box.control, box.item) == here]
        else:
            kept = [decision for decision in decisions if decision.kind == "kept"]
            shown = [_as_shown(decision, detections, *here) for decision in kept]
        label_map = label_maps[control.from_name]
        reference = images[control.image_field][item].reference
        yield MatchedImage(control, label_map, detections, drawn, saw_predictions, item, reference, decisions, shown)


def _as_shown(decision: FilterDecision, detections: Detections, control: str, item: int) -> LabelledBox:
    ymin, xmin, ymax, xmax = np.clip(detections.boxes[decision.row].astype(np.float64), 0, 1).tolist()
    return LabelledBox(control, item, decision.label, (ymin, xmin, ymax, xmax), float(detections.scores[decision.row]))


def edges_of(boxes: Sequence[LabelledBox]) -> Boxes:
    """Return boxes as float32 [N, 4], ``ymin, xmin, ymax, xmax``."""
    return np.array([box.edges for box in boxes], np.float32).reshape(-1, 4)


def pair(image: MatchedImage) -> list[tuple[int, int, float]]:
    """Pair shown boxes with drawn ones, one to one; returns both indices and the IoU of each pair.

    Region ids decide first: Label Studio keeps them when a predicted box is moved, resized or relabeled. The rest is paired by label and
    overlap (:func:`~ml_backend.feedback.evaluation.matching.match`).
    """
    overlaps = iou(edges_of(image.shown), edges_of(image.drawn))
    pairs = _by_region(image.shown, image.drawn)
    left = overlaps.copy()
    for row, column in pairs:
        left[row, :] = left[:, column] = 0
    pairs += match(left, _labels(image.shown), _labels(image.drawn))
    return [(row, column, float(overlaps[row, column])) for row, column in pairs]


def _by_region(shown: Sequence[LabelledBox], drawn: Sequence[LabelledBox]) -> list[tuple[int, int]]:
    """Pair boxes of the same region, those of the same label first: a region with several labels is a box under each."""
    of_region: dict[str, list[int]] = defaultdict(list)
    for column, box in enumerate(drawn):
        if box.region:
            of_region[box.region].append(column)
    pairs: dict[int, int] = {}
    for same_label_only in (True, False):
        for row, box in enumerate(shown):
            free = of_region.get(box.region, ()) if row not in pairs else ()
            partner = next((each for each in free if not same_label_only or drawn[each].label == box.label), None)
            if partner is not None:
                pairs[row] = partner
                of_region[box.region].remove(partner)
    return sorted(pairs.items())


def classify_shown(image: MatchedImage) -> list[ShownOutcome]:
    """Return the outcome of each shown box. A box with another label is ``relabeled``, a moved region ``nudged``, however far."""
    outcomes: list[ShownOutcome] = ["deleted"] * len(image.shown)
    for row, column, overlap in pair(image):
        if image.shown[row].label != image.drawn[column].label:
            outcomes[row] = "relabeled"
        else:
            outcomes[row] = "kept" if overlap >= UNTOUCHED else "nudged"
    return outcomes


def classify_drawn(image: MatchedImage) -> list[DrawnOutcome]:
    """Return the outcome of each drawn box: whether the detector had found it, and why it was not shown.

    The rules, in this order, each one to one: shown under its label, with an IoU of at least
    :data:`~ml_backend.feedback.evaluation.matching.SAME_OBJECT`; detected under its label, but hidden; shown, or detected with a score of
    at least :data:`SUSPECTED`, under another label or none of the project; not found.
    """
    outcomes: list[DrawnOutcome] = ["not found"] * len(image.drawn)
    drawn, shown, raw = edges_of(image.drawn), edges_of(image.shown), image.detections.boxes
    shown_labels, raw_labels = _labels(image.shown), [decision.label for decision in image.decisions]
    # A shown box is a detection, too: the two count once.
    twins = same_label(shown_labels, raw_labels) & (iou(shown, raw) >= IDENTICAL)
    free_shown, free_raw = np.ones(len(shown), bool), np.ones(len(raw), bool)

    def assign_outcome(overlaps: Boxes, allowed: Flags, free: Flags, outcome: DrawnOutcome) -> None:
        open_rows = np.array([each == "not found" for each in outcomes], bool)
        for row, column in assign(np.where(allowed & open_rows[:, None] & free[None, :], overlaps, 0)):
            outcomes[row] = outcome
            free[column] = False
        free_raw[twins[~free_shown].any(axis=0)] = False

    with_shown, with_raw = iou(drawn, shown), iou(drawn, raw)
    same_shown, same_raw = (same_label(_labels(image.drawn), others) for others in (shown_labels, raw_labels))
    # A class without a label does not match a drawn box without a label.
    same_raw &= np.array([label != "" for label in raw_labels], bool)[None, :]
    pairs = pair(image)
    found = np.zeros_like(with_shown)
    renamed = np.zeros_like(with_shown)
    for row, column, overlap in pairs:
        if same_shown[column, row]:
            found[column, row] = overlap
        elif image.shown[row].region == image.drawn[column].region != "":
            renamed[column, row] = 1  # wherever it was moved
    assign_outcome(found, same_shown, free_shown, "found")
    assign_outcome(with_raw, same_raw, free_raw, "hidden")
    assign_outcome(renamed, ~same_shown, free_shown, "other label")
    assign_outcome(with_shown, ~same_shown, free_shown, "other label")
    assign_outcome(with_raw, ~same_raw & (image.detections.scores >= SUSPECTED)[None, :], free_raw, "other label")
    return outcomes


def count_edits(image: MatchedImage, outcomes: Sequence[ShownOutcome]) -> Counter[str]:
    """Return the edits of an annotator: ``nudged``, ``relabeled``, ``deleted`` and ``added`` boxes.

    Args:
        image: of an annotation.
        outcomes: of its shown boxes, by :func:`classify_shown`.
    """
    edits: Counter[str] = Counter(outcome for outcome in outcomes if outcome != "kept")
    edits["added"] = len(image.drawn) - (len(outcomes) - edits["deleted"])
    return edits


def _labels(boxes: Sequence[LabelledBox]) -> list[str]:
    return [box.label for box in boxes]
