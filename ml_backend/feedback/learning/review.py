"""The list of candidates of a project: probabilities of its detections from corrections, then a second look at every drawn box."""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection

from ml_backend.feedback.evaluation.candidates import (
    KINDS,
    LIKELY,
    LISTED,
    Candidate,
    Probabilities,
    Recall,
    Review,
    ReviewedImage,
    find_candidates,
)
from ml_backend.feedback.evaluation.outcomes import JudgedImage, judged_images
from ml_backend.feedback.evaluation.threshold_stats import begin
from ml_backend.feedback.learning.class_evidence import ClassEvidence
from ml_backend.feedback.learning.class_labels import learn_labels
from ml_backend.feedback.learning.label_probabilities import LabelProbabilities
from ml_backend.feedback.learning.platt import fit_platt
from ml_backend.feedback.learning.project_calibration import detected_by, detector_of
from ml_backend.feedback.store.annotation_records import Annotation, annotations_of
from ml_backend.feedback.store.projects import Project
from ml_backend.postprocessing.box_probability import Platt
from ml_backend.postprocessing.overrides import LabelOverrides
from ml_backend.postprocessing.postprocessor import Postprocessor
from ml_backend.settings import Settings

TOP = 20  # candidates of a list, by default

Load = Callable[[], Iterable[Annotation]]


@dataclass(frozen=True)
class DetectionProbabilities:
    """The probability that detections are right under the labels of a project: that of their scores times that of the label for their class.

    Attributes:
        platt: the probability by score, fitted to all labels together.
        labels: the probability of labels by class, by ``from_name`` of the control.
        postprocessor: with learned labels.
    """

    platt: Platt
    labels: dict[str, LabelProbabilities]
    postprocessor: Postprocessor

    @classmethod
    def fit(cls, load: Load, own: Callable[[LabelOverrides], Postprocessor]) -> "DetectionProbabilities":
        """Fit them to annotations, right and wrong ones alike.

        Args:
            load: returns the annotations; it is called twice.
            own: returns the postprocessor of the label config with overrides.
        """
        plain = own(LabelOverrides())
        evidence = ClassEvidence(plain)
        for annotation in load():
            evidence.add(annotation)
        learned = [each for each in learn_labels(evidence, plain, plain, LIKELY) if each.learned]
        stats = begin(own(LabelOverrides.of({}, {(each.control, each.known): each.label for each in learned})))
        stats.sure = {(each.control, each.known): each.probability for each in learned}
        for annotation in load():
            stats.add_annotation(annotation)
        every = stats.labels.values()
        platt = fit_platt(
            np.array([score for each in every for score in each.scores], float),
            np.array([right for each in every for right in each.right], bool),
            np.array([sure for each in every for sure in each.sure], float),
        )
        labels = {
            control.from_name: LabelProbabilities(control, label_map, evidence)
            for control, label_map in plain.rectangles
        }
        return cls(platt, labels, stats.postprocessor)

    def of(self, image: JudgedImage) -> tuple[list[str], Probabilities]:
        """Return the labels that could be drawn, and the probability of each detection under each of them, float64 [N, L]."""
        found, of_class = image.detections, self.labels[image.control.from_name]
        labels = list(dict.fromkeys(label.value for label in image.control.labels))  # two labels may share an alias
        rows = []
        for name, mid in zip(found.class_names, found.class_mids, strict=True):
            known = of_class.of(name, mid)
            rows.append([known.get(label, 0.0) for label in labels])
        right = self.platt.probability(found.scores)[:, None]
        return labels, right * np.array(rows, np.float64).reshape(len(found), len(labels))


def review(load: Load, own: Callable[[LabelOverrides], Postprocessor], top: int = TOP) -> Review:
    """Return the candidates of a project from :data:`~ml_backend.feedback.evaluation.candidates.LISTED` on.

    No model runs: the detections are those in the records. Skipped annotations and predictions that were accepted in bulk do not count, and
    drafts have no records.

    Args:
        load: returns the annotations, all with detections of one detector; it is called four times.
        own: returns the postprocessor of the label config with overrides.
        top: most candidates to return.
    """
    probabilities = DetectionProbabilities.fit(load, own)
    recall = Recall()
    annotations = drawn = 0
    for annotation in _counted(load()):
        annotations += 1
        for image in _reviewed(annotation, probabilities):
            recall.add(image)
            drawn += len(image.image.drawn)
    counts: Counter[str] = Counter()
    found: list[tuple[float, int, int, Candidate]] = []
    number = 0
    for annotation in _counted(load()):
        for image in _reviewed(annotation, probabilities):
            for candidate in find_candidates(image, recall):
                if candidate.probability < LISTED:
                    continue
                number += 1
                counts[candidate.kind] += 1
                # The numbers order equal ones, since candidates cannot be compared.
                heapq.heappush(found, (candidate.probability, -candidate.annotation, -number, candidate))
                if len(found) > top:
                    heapq.heappop(found)
    ranked = [each[-1] for each in sorted(found, key=lambda each: each[:3], reverse=True)]
    return Review(annotations, drawn, {kind: counts[kind] for kind in KINDS}, ranked)


def review_project(connection: Connection | None, project: Project, settings: Settings, top: int = TOP) -> Review:
    """Return the candidates of a project, from the records of the current detector.

    Args:
        connection: to read with; None for a database without tables.
        project: of the database.
        settings: of the postprocessor.
        top: most candidates to return.

    Raises:
        LabelConfigError: the label config cannot be served.
    """
    detector = detector_of(connection)

    def own(overrides: LabelOverrides) -> Postprocessor:
        return Postprocessor.from_label_config(
            project.label_config,
            score_threshold=settings.model_score_threshold,
            overrides=overrides,
            tiles=settings.tiles,
        )

    return review(lambda: detected_by(detector, annotations_of(connection, project.id)), own, top)


def _counted(annotations: Iterable[Annotation]) -> Iterator[Annotation]:
    return (each for each in annotations if each.images and not each.skipped and not each.accepted)


def _reviewed(annotation: Annotation, probabilities: DetectionProbabilities) -> Iterator[ReviewedImage]:
    for image in judged_images(annotation, probabilities.postprocessor):
        yield ReviewedImage(image, annotation.task, annotation.id, annotation.annotator, *probabilities.of(image))
