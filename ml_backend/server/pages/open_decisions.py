"""The decisions on the results for one image before any threshold, so that a page can move thresholds without asking again.

A box is suppressed only by a better one of its label, so the boxes at or above a threshold are those that this threshold would show
(:func:`~ml_backend.postprocessing.selection.select`). ``assets/decisions.js`` applies the rest: thresholds, suppression across labels, and limits.
"""

from typing import Any

from ml_backend.detections import Detections
from ml_backend.images.label_colours import colours_of, text_on
from ml_backend.label_studio.controls.choices import TaxonomyControl, TaxonomyItem
from ml_backend.label_studio.controls.control import Control, Label
from ml_backend.label_studio.controls.rectangles import RectangleControl
from ml_backend.model_results import ModelResults
from ml_backend.postprocessing.choices import ServedChoices
from ml_backend.postprocessing.label_coverage import vocabulary_of
from ml_backend.postprocessing.label_map import Assignment, LabelMap
from ml_backend.postprocessing.postprocessor import Postprocessor
from ml_backend.postprocessing.selection import certainty, select, threshold_of
from ml_backend.vocabularies.class_list import ModelClass
from ml_backend.vocabularies.imagenet import BACKGROUND

MAX_DETECTIONS = 500  # of one control; tiles find up to 1,700, of which most have scores below 0.01
MAX_CLASSES = 30


def open_decisions(postprocessor: Postprocessor, results: ModelResults) -> dict[str, Any]:
    """Return the decisions of all controls on one image as plain JSON values, with what else decides."""
    return {
        "boxes": [_boxes(control, label_map, results) for control, label_map in postprocessor.rectangles],
        "choices": [_choices(each, results) for each in postprocessor.choices],
    }


def seen_without_config(results: ModelResults, classes: tuple[ModelClass, ...] | None) -> dict[str, Any]:
    """Return what the models see, for a label config that cannot be served.

    Args:
        results: for one image.
        classes: of the classifier, if there is one.
    """
    seen: dict[str, Any] = {"boxes": [], "choices": []}
    if results.detections is not None:
        boxes = results.boxes
        rows = [
            _detection(boxes, row) | {"fate": "not in this project", "reason": f"not in this project ({name})"}
            for row, name in enumerate(boxes.class_names[:MAX_DETECTIONS])
        ]
        seen["boxes"].append({"control": "", "detections": rows, "left_out": 0})
    if results.classification is not None and classes:
        found = zip(classes, results.probabilities.probabilities.tolist(), strict=True)
        best = sorted(found, key=lambda each: -each[1])[:MAX_CLASSES]
        listed = [_class(known, probability, None) for known, probability in best if known != BACKGROUND]
        seen["choices"].append({"control": "", "choices": [], "classes": listed})
    return seen


def described_controls(postprocessor: Postprocessor) -> list[dict[str, Any]]:
    """Return the controls and their labels with the thresholds in force and colours, as plain JSON values."""
    return [_control(each, postprocessor.score_threshold) for each in postprocessor.controls]


def _control(control: Control, default_threshold: float) -> dict[str, Any]:
    colours = colours_of([label.value for label in control.labels])
    return {
        "control": control.from_name,
        "tag": control.shown_name,
        "threshold": control.score_threshold if control.score_threshold is not None else default_threshold,
        "labels": [
            {
                "label": label.value,
                "path": path_of(label),
                "threshold": threshold_of(label, control, default_threshold),
                "colour": colours[label.value],
                "text": text_on(colours[label.value]),
                "skipped": control.skip or label.skip,
            }
            for label in control.labels
        ],
        "max_regions": control.max_regions if isinstance(control, RectangleControl) else None,
        "iou": control.nms_iou if isinstance(control, RectangleControl) else None,
        "across_labels": isinstance(control, RectangleControl) and control.nms_across_labels,
        "tiles": control.tiles if isinstance(control, RectangleControl) else None,
    }


def _boxes(control: RectangleControl, label_map: LabelMap, results: ModelResults) -> dict[str, Any]:
    boxes = results.boxes_in(control.models)
    names = vocabulary_of(control.model).name_by_id
    decided = []
    for decision in select(boxes, control, label_map, None):
        found = decision.assignment
        decided.append(
            _detection(boxes, decision.row)
            | {"fate": decision.kind, "reason": decision.reason, "label": decision.label}
            | _rule(found, names)
            | {"lowest": found.threshold if found else 0.0, "sure": certainty(found) if found else ""}
        )
    decided.sort(key=lambda each: -each["score"])
    return {
        "control": control.from_name,
        "detections": decided[:MAX_DETECTIONS],
        "left_out": len(decided[MAX_DETECTIONS:]),
    }


def _detection(boxes: Detections, row: int) -> dict[str, Any]:
    return {
        "number": row + 1,
        "class": boxes.class_names[row],
        "id": boxes.class_mids[row],
        "view": boxes.view(row) or "whole",
        "score": float(boxes.scores[row]),
        "box": [float(edge) for edge in boxes.boxes[row]],
        "label": "",
        "rule": "",
        "ancestor": "",
        "lowest": 0.0,
        "sure": "",
    }


def _rule(found: Assignment | None, names: dict[str, str]) -> dict[str, str]:
    return {
        "rule": found.rule if found else "",
        "ancestor": names.get(found.ancestor, "") if found else "",
    }


def _choices(served: ServedChoices, results: ModelResults) -> dict[str, Any]:
    control = served.control
    names = vocabulary_of(control.model).name_by_id
    return {
        "control": control.from_name,
        "source": control.source,
        "multiple": control.multiple,
        "taxonomy": isinstance(control, TaxonomyControl),
        "one_path": bool(served.classes),
        "leaves_only": isinstance(control, TaxonomyControl) and control.leaves_only,
        "max_usages": control.max_usages if isinstance(control, TaxonomyControl) else None,
        "choices": [
            {
                "choice": decision.choice.value,
                "path": path_of(decision.choice),
                "leaf": isinstance(decision.choice, TaxonomyItem) and decision.choice.is_leaf,
                "score": decision.score,
                "fate": decision.kind if decision.kind in {"skipped", "no class"} else "kept",
                "reason": decision.reason,
                "evidence": decision.evidence,
            }
            for decision in served.decide([results], None)
        ],
        "classes": [
            _class(known, probability, found) | _rule(found, names)
            for known, probability, found in served.explain_classes([results])[:MAX_CLASSES]
            if known != BACKGROUND
        ],
    }


def path_of(choice: Label) -> list[str]:
    """Return the texts on the way to a label or choice, by which the page finds its tag; one where it is in no tree."""
    return list(choice.path) if isinstance(choice, TaxonomyItem) else [choice.value]


def _class(known: ModelClass, probability: float, found: Assignment | None) -> dict[str, Any]:
    choice = found.label.value if found else ""
    return {"class": known.name, "id": known.id, "score": probability, "label": choice, "rule": "", "ancestor": ""}
