"""Which detection an annotator means by a rectangle that they drew."""

import numpy as np

from ml_backend.detections import Detections, iou
from ml_backend.label_studio.interactive import DrawnRegion
from ml_backend.postprocessing.label_map import LabelMap

MIN_OVERLAP = 0.3  # IoU; a hasty rectangle around an object still reaches it
MIN_SCORE = 0.02  # a person points at the place, so much weaker detections than otherwise count


def select_detection(drawn: DrawnRegion, detections: Detections, label_map: LabelMap) -> int | None:
    """Return the row of the detection that the gesture means, or None.

    Detections whose class goes to the drawn label come before all others, since people draw ``Person`` around ``Clothing``
    too; among equals the larger overlap wins.
    """
    overlaps = iou(drawn.box, detections.boxes)[0]
    candidates = np.flatnonzero((overlaps >= MIN_OVERLAP) & (detections.scores >= MIN_SCORE))

    def fitness(row: int) -> tuple[bool, float]:
        label = label_map.label_for(detections.class_names[row], detections.class_mids[row])
        return label == drawn.label, float(overlaps[row])

    return max((int(row) for row in candidates), key=fitness, default=None)
