"""Evidence of classes: what people drew where the detector found a class, from the raw detections in the records."""

from collections import Counter, defaultdict

import numpy as np

from ml_backend.detections import iou
from ml_backend.feedback.evaluation.matching import SAME_OBJECT, same_label
from ml_backend.feedback.evaluation.outcomes import JudgedImage, edges_of, judged_images
from ml_backend.feedback.learning.drawn_boxes import DrawnBoxes
from ml_backend.feedback.learning.posterior import NONE
from ml_backend.feedback.store.annotation_records import Annotation
from ml_backend.postprocessing.box_features import features_of
from ml_backend.postprocessing.postprocessor import Postprocessor

LOWEST = 0.1  # score from which a detection is evidence


class ClassEvidence:
    """The evidence of each class, added up over annotations.

    Args:
        postprocessor: of the label config, without learned labels.

    Attributes:
        weights: by ``from_name`` of the control and class (its MID, else its name): boxes by label. A detection that matches a drawn box
            counts 1 for its label, and one that matches none counts its score for :data:`~ml_backend.feedback.learning.posterior.NONE`: so
            likely it is an object that nobody draws. A detection of an object that a better one has matched counts nowhere.
        boxes: by control and class, the boxes that people drew; none for a control of which each label has classes by its name, since these
            are not split.
        names: readable names by class.
    """

    def __init__(self, postprocessor: Postprocessor) -> None:
        self._postprocessor = postprocessor
        self.weights: dict[str, dict[str, Counter[str]]] = {
            control.from_name: defaultdict(Counter) for control, _ in postprocessor.rectangles
        }
        self._may_split = {
            control.from_name
            for control, label_map in postprocessor.rectangles
            if {label.value for label in control.labels} - {each.label.value for each in label_map.captured().values()}
        }
        self.boxes: dict[str, dict[str, DrawnBoxes]] = {name: defaultdict(DrawnBoxes) for name in self.weights}
        self.names: dict[str, str] = {}

    def add(self, annotation: Annotation) -> None:
        """Add an annotation, unless it was skipped or accepted in bulk."""
        if annotation.skipped or annotation.accepted:
            return
        for image in judged_images(annotation, self._postprocessor):
            self._add(image)

    def _add(self, image: JudgedImage) -> None:
        found, drawn = image.detections, image.drawn
        confident = np.flatnonzero(found.scores >= np.float32(LOWEST))
        rows = confident[np.argsort(-found.scores[confident], kind="stable")].tolist()
        labels = [box.label for box in drawn]
        overlaps = iou(found.boxes[rows], edges_of(drawn))
        fits = overlaps >= SAME_OBJECT
        names, mids = found.class_names, found.class_mids
        own = [image.label_map.label_for(names[row], mids[row]) or "" for row in rows]
        # A drawn box that fits a box of its own label is taken; only the rest can be a class under another name.
        matched: dict[int, int] = {}
        taken = np.zeros(len(labels), bool)
        for allowed in (fits & same_label(own, labels), fits):
            for place in range(len(rows)):
                free = np.where(allowed[place] & ~taken, overlaps[place], 0)
                if place not in matched and free.any():
                    matched[place] = int(free.argmax())
                    taken[matched[place]] = True
        features = {}
        if matched and image.control.from_name in self._may_split:
            features = dict(zip(matched, features_of(found, np.array(rows)[list(matched)]), strict=True))
        for place, row in enumerate(rows):
            known = mids[row] or names[row]
            if not known:  # detectors number classes beyond their list
                continue
            self.names.setdefault(known, names[row] or known)
            weights = self.weights[image.control.from_name][known]
            if place in matched:
                weights[labels[matched[place]]] += 1
                if place in features:
                    self.boxes[image.control.from_name][known].add(features[place], labels[matched[place]])
            elif not fits[place].any():
                weights[NONE] += float(found.scores[row])  # type: ignore[assignment]  # a Counter of weights
