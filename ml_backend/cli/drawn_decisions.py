"""The picture of ``prelabel explain``: detections coloured by the decision on each, a legend, and the choices below."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ml_backend.images.drawing import Box, draw_boxes, with_legend, with_lines_below
from ml_backend.postprocessing.explanation import ExplainedBoxes, Explanation
from ml_backend.postprocessing.selection import DecisionKind, FilterDecision

COLOURS: dict[DecisionKind, str] = {
    "kept": "#00b400",
    "below the threshold": "#ffc34b",
    "suppressed": "#1d6fd1",
    "not in this project": "#b0b0b0",
    "skipped": "#c300ff",
    "too small": "#00ffff",
    "over the limit": "#e10f00",
    "outside the picture": "#873c1e",
}
CROWDED = 20  # drawn detections; with more, hidden ones have numbers only


def draw_decisions(pixels: NDArray[np.uint8], explained: Explanation, min_score: float) -> Image.Image:
    """Draw the decisions of the first control with boxes, and write the choices of all controls below.

    Args:
        pixels: uint8 [height, width, 3], RGB, in the displayed frame.
        explained: of this image.
        min_score: lowest score that is drawn, 0 to 1.
    """
    drawn: list[Box] = []
    legend: list[tuple[str, str]] = []
    for boxes in explained.boxes[:1]:
        decisions = [each for each in boxes.decisions if boxes.detections.scores[each.row] >= min_score]
        drawn, legend = boxes_of(boxes, decisions), legend_of(decisions)
    lines = []
    for choices in explained.choices:
        kept = [f"{each.choice.value} {each.score:.2f}" for each in choices.decisions if each.kind == "kept"]
        lines.append(f"{choices.served.control.from_name}: {', '.join(kept) or '(nothing)'}")
    return with_lines_below(with_legend(draw_boxes(pixels, drawn), legend), lines)


def boxes_of(explained: ExplainedBoxes, decisions: list[FilterDecision]) -> list[Box]:
    """Return the boxes of decisions: the shown ones on top, then the better ones. Numbers are those of the table, which has the rest."""
    found = explained.detections
    boxes = []
    # Detections are in the order of their scores.
    for decision in sorted(decisions, key=lambda each: (each.kind == "kept", -each.row)):
        row = decision.row
        caption = f"#{row + 1}"
        if decision.kind == "kept" or len(decisions) <= CROWDED:
            name = decision.label or found.class_names[row]
            caption = f"{caption} {name} {found.scores[row]:.2f} {found.view(row)}".rstrip()
        boxes.append(Box(found.boxes[row], caption, COLOURS[decision.kind]))
    return boxes


def legend_of(decisions: list[FilterDecision]) -> list[tuple[str, str]]:
    """Return the colour and the meaning of each kind of decision that occurs, with its number."""
    numbers = Counter(each.kind for each in decisions)
    return [
        (colour, f"{'shown' if kind == 'kept' else f'hidden: {kind}'} ({numbers[kind]})")
        for kind, colour in COLOURS.items()
        if numbers[kind]
    ]
