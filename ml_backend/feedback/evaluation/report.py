"""The report of a project: figures on the accuracy of its boxes and choices, computed from annotation records."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ml_backend.feedback.evaluation.annotators import AnnotatorFigures, AnnotatorTally, named
from ml_backend.feedback.evaluation.choice_outcomes import ChoiceOutcomes, ShownAndSubmitted, shown_and_submitted
from ml_backend.feedback.evaluation.outcomes import (
    DrawnOutcome,
    MatchedImage,
    ShownOutcome,
    classify_drawn,
    classify_shown,
    count_edits,
    matched_images,
)
from ml_backend.feedback.evaluation.statistics import Share
from ml_backend.feedback.evaluation.tallies import Effort, OutcomeBox, Outcomes, WorstImage
from ml_backend.feedback.evaluation.threshold_stats import (
    GRID,
    MIN_BOXES,
    LabelKey,
    ThresholdStats,
    begin,
    threshold_in,
)
from ml_backend.feedback.store.annotation_records import Annotation
from ml_backend.postprocessing.postprocessor import Postprocessor

WORST = 12


@dataclass
class Report:
    """The figures of a project.

    Attributes:
        stats: threshold stats of the postprocessor in force.
        link: returns the address of a task in Label Studio; empty if that of Label Studio is not set.
        labels: outcomes by label.
        choices: outcomes of choices, by ``from_name`` of their control.
        versions: outcomes of boxes by model version of the shown prediction.
        seen, unseen: effort with and without predictions on the screen.
        annotations, skipped: how many there are, without predictions accepted in bulk.
        accepted, accepted_boxes: predictions that were turned into annotations in bulk, and their boxes; they count nowhere else.
        audited: annotations of images whose predictions were withheld.
        twice: tasks with more than one annotation.
        left_out: annotations that are left out, by reason.
        odd: irregular regions, by kind.
        worst: images with the most edits of boxes, by falling number.
        annotators: figures on the boxes of each annotator, by falling number of annotations.
    """

    stats: ThresholdStats
    link: Callable[[int], str] = lambda _: ""
    labels: dict[LabelKey, Outcomes] = field(default_factory=lambda: defaultdict(Outcomes))
    choices: dict[str, ChoiceOutcomes] = field(default_factory=dict)
    versions: dict[str, Outcomes] = field(default_factory=lambda: defaultdict(Outcomes))
    seen: Effort = field(default_factory=Effort)
    unseen: Effort = field(default_factory=Effort)
    annotations: int = 0
    skipped: int = 0
    accepted: int = 0
    accepted_boxes: int = 0
    audited: int = 0
    twice: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    odd: Counter[str] = field(default_factory=Counter)
    worst: list[WorstImage] = field(default_factory=list)
    annotators: list[AnnotatorFigures] = field(default_factory=list)

    @property
    def total(self) -> Outcomes:
        """Outcomes of all boxes that annotators saw."""
        whole = Outcomes()
        for outcomes in self.versions.values():
            whole.shown += outcomes.shown
            whole.drawn += outcomes.drawn
        return whole

    @property
    def has_boxes(self) -> bool:
        """Whether the label config has boxes."""
        return bool(self.labels)

    @property
    def subject(self) -> str:
        """The subject of the report, for sentences."""
        return " and ".join(name for name, there in (("boxes", self.has_boxes), ("choices", self.choices)) if there)

    def group(self, *, saw_predictions: bool) -> tuple[Share, Share]:
        """Return precision and recall of the boxes that would be shown now, where annotators saw boxes or saw none."""
        shares = [
            (
                stats.precision(threshold, saw_predictions=saw_predictions),
                stats.recall(threshold, saw_predictions=saw_predictions),
            )
            for where, stats in self.stats.labels.items()
            for threshold in [threshold_in(self.stats.postprocessor, where)]
        ]
        precisions, recalls = [each for each, _ in shares], [each for _, each in shares]
        return _sum(precisions), _sum(recalls)

    def basis(self) -> str:
        """Return a sentence on the basis of the figures."""
        seen, unseen = self.seen.annotations, self.unseen.annotations
        what, neither = self.subject, self.subject.replace(" and ", " or ")
        if not seen and not unseen:
            return "There are no annotations yet."
        figure = "precision" if self.has_boxes else "accuracy"
        if not self.audited:
            others = f" {unseen} annotations began without {neither} for other reasons." if unseen else ""
            return (
                f"No picture was audited: {seen} of {seen + unseen} annotations were made by people who saw the {what}, and people tend to keep "
                f"{what} that they see, so {figure} is probably a little too high. PRELABEL_HOLDOUT_FRACTION=0.05 withholds {what} on one picture "
                f"in twenty.{others}"
            )
        found = ", or found objects that they would have missed" if self.has_boxes else ""
        return (
            f"{self.audited} of {seen + unseen} annotations are of audited pictures, where no {neither} were shown. Where the two groups differ by "
            f"more than their intervals, people kept {what} because they were there{found}."
        )

    def acceptance(self) -> str:
        """Return a sentence on the predictions that were accepted in bulk."""
        boxes = f" ({self.accepted_boxes} boxes)" if self.has_boxes or self.accepted_boxes else ""
        return (
            f"{self.accepted} predictions{boxes} were turned into annotations in bulk, without being seen; they count "
            "in no other figure"
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "annotations": self.annotations,
            "skipped": self.skipped,
            "accepted": {"annotations": self.accepted, "boxes": self.accepted_boxes},
            "audited": self.audited,
            "tasks_with_several_annotations": self.twice,
            "not_judged": dict(self.left_out),
            "odd_regions": dict(self.odd),
            "basis": self.basis(),
            "total": self.total.to_json(),
            "labels": [
                {
                    "control": where.control,
                    "label": where.label,
                    "in_config": where in labels_in_config or not where.label,
                    "small_sample": outcomes.shown.total() < MIN_BOXES,
                    "threshold": threshold_in(self.stats.postprocessor, where),
                    **outcomes.to_json(),
                    "curve": self.curve(where),
                }
                for labels_in_config in [set(begin(self.stats.postprocessor).labels)]
                for where, outcomes in self.labels.items()
            ],
            "choices": [each.to_json(control) for control, each in self.choices.items()],
            "versions": [{"model_version": name, **each.to_json()} for name, each in self.versions.items()],
            "seen": self.seen.to_json() | self._group_to_json(saw_predictions=True),
            "annotators": [each.to_json() for each in self.annotators],
            # Boxes that nobody sees have no edits.
            "unseen": self.unseen.to_json()
            | {"edits": None, "edits_per_picture": None}
            | self._group_to_json(saw_predictions=False),
            "worst": [
                {"task": each.task, "annotation": each.annotation, "edits": dict(each.edits), "url": each.url}
                for each in self.worst
            ],
        }

    def _group_to_json(self, *, saw_predictions: bool) -> dict[str, Any]:
        precision, recall = self.group(saw_predictions=saw_predictions)
        return {"precision_now": precision.to_json(), "recall_now": recall.to_json()}

    def curve(self, where: LabelKey) -> list[dict[str, float | int]]:
        """Return the numbers of shown and of right boxes of a label at each threshold that shows any."""
        stats = self.stats.of(where)
        shown, right = stats.at_every_threshold()
        return [
            {"threshold": threshold, "shown": total, "right": hits, "drawn": stats.drawn.total()}
            for threshold, total, hits in zip(GRID.tolist(), shown.tolist(), right.tolist(), strict=True)
            if total
        ]


def task_links(label_studio: str | None, project: int) -> Callable[[int], str]:
    """Return a function from the id of a task to its address in Label Studio; empty if that of Label Studio is not set."""
    return lambda task: f"{label_studio}/projects/{project}/data?task={task}" if label_studio else ""


def make_report(
    annotations: Iterable[Annotation],
    postprocessor: Postprocessor,
    detector: str = "",
    link: Callable[[int], str] = lambda _: "",
) -> Report:
    """Return the report on annotations.

    Args:
        annotations: of one project.
        postprocessor: in force now; the boxes that people saw are in the annotations.
        detector: fingerprint of the current detector, 8 hex digits; empty if unknown. Annotations with detections of another one are left
            out until they are processed again.
        link: returns the address of a task.
    """
    controls = {
        each.control.from_name: tuple(label.value for label in each.control.labels) for each in postprocessor.choices
    }
    report = Report(
        begin(postprocessor), link, choices={name: ChoiceOutcomes(labels) for name, labels in controls.items()}
    )
    report.labels.update({where: Outcomes() for where in report.stats.labels})
    tasks: Counter[int] = Counter()
    annotators = AnnotatorTally()
    worst: list[tuple[int, int, WorstImage]] = []
    for annotation in annotations:
        if annotation.skipped:
            report.skipped += 1
            continue
        if annotation.accepted:
            report.accepted += 1
            report.accepted_boxes += len(annotation.drawn)
            continue
        report.annotations += 1
        tasks[annotation.task] += 1
        report.odd.update(annotation.odd)
        if annotation.problem:
            report.left_out[annotation.problem.partition(": ")[2] or annotation.problem] += 1
            continue
        if annotation.images and detector not in {"", annotation.detector}:
            report.left_out["they wait for detections of the current detector"] += 1
            continue
        report.audited += annotation.audited
        seen = list(matched_images(annotation, postprocessor))
        choices = list(shown_and_submitted(annotation, controls))
        if not seen and not choices:
            report.left_out["the label config does not have their images, control or labels any more"] += 1
            continue
        worst_image = _add(annotation, seen, choices, report, annotators)
        if worst_image is not None:
            # The id orders equal ones, since images cannot be compared.
            heapq.heappush(worst, (worst_image.edits.total(), -annotation.id, worst_image))
            if len(worst) > WORST:
                heapq.heappop(worst)
    if edited := sum(each.edits for each in report.choices.values()):
        report.seen.edits["choices"] = edited
    report.annotators = annotators.finish(report.stats)
    named(report.annotators)
    report.twice = sum(count > 1 for count in tasks.values())
    report.worst = [image for _, _, image in sorted(worst, key=lambda each: each[:2], reverse=True)]
    return report


def _add(
    annotation: Annotation,
    seen: Sequence[MatchedImage],
    choices: Sequence[ShownAndSubmitted],
    report: Report,
    annotators: AnnotatorTally,
) -> WorstImage | None:
    """Add an annotation to the report; returns its image if the annotator saw and edited boxes."""
    outcomes = [classify_shown(image) for image in seen]
    for image in seen:
        report.stats.add(image)
    annotators.add(annotation, seen, outcomes)
    if annotation.lost:
        report.left_out[f"their predictions have been deleted, so the shown {report.subject} are unknown"] += 1
        return None
    effort = report.unseen if annotation.shown is None or annotation.audited else report.seen
    effort.annotations += 1
    for each in choices:
        report.choices[each.control].add(each, annotation)
    if annotation.seconds is not None:
        effort.seconds.append(annotation.seconds)
    edits: Counter[str] = Counter()
    boxes: list[OutcomeBox] = []
    for image, shown in zip(seen, outcomes, strict=True):
        drawn = classify_drawn(image)
        if not image.saw_predictions:
            continue
        report.versions[annotation.version].shown.update(shown)
        report.versions[annotation.version].drawn.update(drawn)
        for box, outcome in zip(image.shown, shown, strict=True):
            report.labels[LabelKey(box.control, box.label)].shown[outcome] += 1
        for box, found in zip(image.drawn, drawn, strict=True):
            report.labels[LabelKey(box.control, box.label)].drawn[found] += 1
        edits += count_edits(image, shown)
        boxes += _corrected(image, shown, drawn)
    effort.edits += edits
    if not edits:
        return None
    reference = annotation.images[0].reference if len(annotation.images) == 1 else ""
    return WorstImage(annotation.task, annotation.id, edits, reference, boxes, report.link(annotation.task))


def _corrected(image: MatchedImage, shown: list[ShownOutcome], drawn: list[DrawnOutcome]) -> list[OutcomeBox]:
    return [
        OutcomeBox(box.edges, box.label, outcome)
        for box, outcome in zip([*image.shown, *image.drawn], [*shown, *drawn], strict=True)
    ]


def _sum(shares: Iterable[Share]) -> Share:
    shares = list(shares)
    return Share(sum(each.hits for each in shares), sum(each.total for each in shares))
