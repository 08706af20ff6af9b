"""The seconds of edits, measured from the time that annotations took (Label Studio's ``lead_time``)."""

from collections import Counter

import numpy as np

from ml_backend.feedback.evaluation.annotators import has_edit_time
from ml_backend.feedback.evaluation.outcomes import classify_shown, count_edits, matched_images
from ml_backend.feedback.learning.effort import EditSeconds, Floats
from ml_backend.feedback.store.annotation_records import Annotation
from ml_backend.postprocessing.postprocessor import Postprocessor

MIN_TIMED = 50  # annotations with a time and with shown boxes, below which nothing is measured
MAX_TIMED = 2000  # more make it no better, and the first matching of boxes takes time
EXPLAINED = 0.8  # of the deviation of the times from their median, at most so much may be left once edits are known
MIN_SECONDS = 0.1  # of an edit
KINDS = ("added", "deleted", "nudged", "relabeled")  # as draw, delete, adjust and relabel


class EditTimes:
    """The edits and times of annotations whose annotators saw boxes.

    Args:
        postprocessor: in force.
    """

    def __init__(self, postprocessor: Postprocessor) -> None:
        self._postprocessor = postprocessor
        self._rows: list[list[float]] = []
        self._seconds: list[float] = []

    def add(self, annotation: Annotation) -> None:
        """Add an annotation if its time, its images and the boxes that were shown are known."""
        if has_edit_time(annotation) and annotation.seconds and len(self._rows) < MAX_TIMED:
            edits: Counter[str] = Counter()
            for image in matched_images(annotation, self._postprocessor):
                edits += count_edits(image, classify_shown(image))
            self._rows.append([*(float(edits[kind]) for kind in KINDS), 1.0])
            self._seconds.append(annotation.seconds)

    def measured(self) -> EditSeconds | None:
        """Return the seconds of edits; None with fewer than :data:`MIN_TIMED` annotations, or if they explain too little.

        A regression of the times on the numbers of edits, with the defaults as a prior: kinds of edits that seldom happen keep them. Its
        loss grows no faster than linearly, since a lead time holds breaks.
        """
        if len(self._rows) < MIN_TIMED:
            return None
        from scipy.optimize import least_squares  # takes a third of a second, which no start should wait for

        edits, taken = np.array(self._rows), np.array(self._seconds)
        defaults = np.array(list(EditSeconds().to_json().values()))
        deviation = float(np.median(np.abs(taken - np.median(taken))))
        spread = deviation or 1.0

        def residuals(seconds: Floats) -> Floats:
            return np.concatenate([(edits @ seconds - taken) / spread, (seconds - defaults) / defaults])

        found = least_squares(residuals, defaults, bounds=(MIN_SECONDS, np.inf), loss="soft_l1", f_scale=0.3).x.tolist()
        measured = EditSeconds(*found)
        # Times that do not depend on the edits, such as those of open browser tabs, say nothing about them.
        unexplained = float(np.median(np.abs(edits @ np.array(found) - taken)))
        believed = unexplained <= EXPLAINED * deviation and measured.draw > max(measured.delete, measured.adjust)
        return measured if believed else None
