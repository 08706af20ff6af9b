"""Selection of the detection that fits a drawn rectangle, in interactive mode."""

import numpy as np

from ml_backend.detections import Detections, iou
from ml_backend.label_studio.interactive import DrawnRegion
from ml_backend.postprocessing.label_map import LabelMap

MIN_OVERLAP = 0.3  # IoU; also reached by a rough rectangle around an object
MIN_SCORE = 0.02  # far below usual thresholds, since a person has marked the place


def select_detection(drawn: DrawnRegion, detections: Detections, label_map: LabelMap) -> int | None:
    """Return the row of the detection that fits a drawn region, or None.

    Candidates have an IoU of at least :data:`MIN_OVERLAP` and a score of at least :data:`MIN_SCORE`. Those whose class is assigned to the
    drawn label come first, since ``Clothing`` overlaps a drawn ``Person`` too. Among them the largest IoU wins.
    """
    overlaps = iou(drawn.box, detections.boxes)[0]
    candidates = np.flatnonzero((overlaps >= MIN_OVERLAP) & (detections.scores >= MIN_SCORE)).tolist()
    assigned = dict(zip(candidates, label_map.assignments(detections.chosen(candidates)), strict=True))

    def fitness(row: int) -> tuple[bool, float]:
        assignment = assigned[row]
        return assignment is not None and assignment.label.value == drawn.label, float(overlaps[row])

    return max(candidates, key=fitness, default=None)
