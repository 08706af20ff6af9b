"""Builds annotation records: what people drew and chose in a task, what they were shown, and what the detector finds in its images."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import structlog
from sqlalchemy import Connection

from ml_backend.errors import LabelConfigError, PrelabelError
from ml_backend.feedback.ingest.inference_pipeline import InferencePipeline
from ml_backend.feedback.ingest.payloads import controls_of, has_id, updated_at_of, without_regions
from ml_backend.feedback.ingest.provenance import (
    Beginning,
    StoredPrediction,
    beginning_of,
    beginning_of_event,
    predictions_of,
)
from ml_backend.feedback.store.annotation_records import AnnotatedImage, Annotation, Known, known_annotations
from ml_backend.feedback.store.projects import Project, config_at, configs_of
from ml_backend.label_studio.controls.control import Control, ImageField
from ml_backend.label_studio.controls.rectangles import RectangleControl
from ml_backend.label_studio.labelled_boxes import LabelledBox, read_regions
from ml_backend.label_studio.labelled_choices import read_choices
from ml_backend.pipeline.holdout import in_holdout
from ml_backend.pipeline.image_results import InferredImage
from ml_backend.postprocessing.served_controls import needs_of, served_controls
from ml_backend.redaction import printable

log = structlog.get_logger(__name__)

MAX_CONCURRENT_TASKS = 4  # predictions come first
MAX_REFERENCE_LENGTH = 2048  # characters
UNSERVED = "the label config cannot be served"


class RetryLaterError(Exception):
    """An image of a task cannot be had now; the task can be built later."""


@dataclass(frozen=True)
class BuiltTask:
    """The annotation records of one task.

    Attributes:
        task: its id.
        ids: of all annotations that the task has.
        changed: records of those that are new, updated, or outdated by another detector.
        read_at: when the task was read, in seconds since 1970 by the clock of the database.
    """

    task: int
    ids: list[int]
    changed: list[Annotation]
    read_at: float


@dataclass(frozen=True)
class BuildContext:
    """A project, and the records that the database has of the tasks to be built.

    Attributes:
        project: as Label Studio has it now.
        known: complete records, by annotation id.
        configs: label configs over time, see :func:`~ml_backend.feedback.store.projects.configs_of`.
    """

    project: Project
    known: Mapping[int, Known] = field(default_factory=dict)
    configs: Sequence[tuple[float, str]] = ()

    @classmethod
    def read(cls, connection: Connection | None, project: Project, tasks: list[int], detector: str) -> Self:
        """Read the context of some tasks.

        Args:
            connection: to read with; None for a database without tables.
            project: of the tasks.
            tasks: their ids.
            detector: fingerprint of the current detector, 8 hex digits.
        """
        if connection is None:
            return cls(project)
        return cls(project, known_annotations(connection, tasks, detector), configs_of(connection, project.id))

    def config_at(self, updated_at: str) -> str:
        """Return the label config under which an annotation was made; its time is ISO 8601."""
        return config_at(self.configs, updated_at) if self.configs else self.project.label_config


class AnnotationBuilder:
    """Builds annotation records of tasks.

    Args:
        pipeline: runs the models on images; most results are in its cache.
        detector: fingerprint of its detector, 8 hex digits.
        holdout_fraction: share of images that are answered without predictions, 0 to 1.
    """

    def __init__(self, pipeline: InferencePipeline, detector: str, holdout_fraction: float) -> None:
        self._pipeline = pipeline
        self._holdout_fraction = holdout_fraction
        self._places = asyncio.Semaphore(MAX_CONCURRENT_TASKS)
        self.detector = detector

    async def build_all(
        self, tasks: Sequence[Mapping[str, Any]], context: BuildContext, read_at: float
    ) -> list[BuiltTask | RetryLaterError]:
        """Build several tasks of one project; returns the result or the error of each, by position.

        Arguments as for :meth:`build`.
        """
        return list(await asyncio.gather(*(self._build_or_error(task, context, read_at) for task in tasks)))

    async def _build_or_error(
        self, task: Mapping[str, Any], context: BuildContext, read_at: float
    ) -> BuiltTask | RetryLaterError:
        async with self._places:
            try:
                return await self.build(task, context, read_at)
            except RetryLaterError as error:
                return error
            except Exception:  # an unexpected error in one task must not hold up all others
                log.exception("annotations could not be processed", project=context.project.id, task=task["id"])
                return RetryLaterError(f"task {task['id']}: an error inside Prelabel; its log has the details")

    async def build(
        self, task: Mapping[str, Any], context: BuildContext, read_at: float, *, shown_is_unknown: bool = False
    ) -> BuiltTask:
        """Build the records of a task's annotations.

        Annotations that have not changed are left out. Those whose images another detector has seen only get new detections.

        Args:
            task: with ``annotations``, and ``predictions`` unless ``shown_is_unknown``.
            context: its project, and the records that the database has.
            read_at: when the task was read, in seconds since 1970 by the clock of the database.
            shown_is_unknown: whether the prediction that the annotator saw must be reconstructed.

        Raises:
            RetryLaterError: an image cannot be had now.
        """
        task_id, project, known = int(task["id"]), context.project, context.known
        given = [each for each in task.get("annotations") or [] if has_id(each)]
        ids = [int(each["id"]) for each in given]
        new = [each for each in given if not _is_known(each, known)]
        outdated = [kept for each in given if _is_known(each, known) and (kept := known[int(each["id"])].outdated)]
        changed = [without_regions(each, project.id, task_id) for each in new]
        if not outdated and all(annotation.skipped for annotation in changed):
            return BuiltTask(task_id, ids, changed, read_at)
        controls = await asyncio.to_thread(controls_of, project.label_config)
        # Records hold detections for boxes; all other results only serve to tell what was shown, or would have been.
        everything = bool(new) and (shown_is_unknown or self._holdout_fraction > 0)
        needed = [each for each in controls if everything or isinstance(each, RectangleControl)]
        found, problem = await self._infer(task, project, needed) if controls else ({}, UNSERVED)
        held_out = any(
            in_holdout(each.version.digest, self._holdout_fraction) for images in found.values() for each in images
        )
        predicted = self._reconstruct(task_id, project, found) if held_out or shown_is_unknown else None
        beginning: Callable[[Mapping[str, Any]], Beginning]
        if shown_is_unknown:
            reconstructed = replace(predicted, regions=[]) if predicted and held_out else predicted

            def beginning(each: Mapping[str, Any]) -> Beginning:
                return beginning_of_event(each, task, reconstructed)
        else:
            predictions = predictions_of(task)

            def beginning(each: Mapping[str, Any]) -> Beginning:
                return beginning_of(each, predictions, are_shown=project.shows_predictions)

        def with_regions(each: Mapping[str, Any], annotation: Annotation) -> Annotation:
            if annotation.skipped:
                return annotation
            controls_then = controls_of(context.config_at(annotation.updated_at)) or controls
            return _with_regions(annotation, each, controls_then, beginning(each), predicted if held_out else None)

        # Away from the event loop: thousands of regions take a fifth of a second, drawn or predicted.
        changed = [
            await asyncio.to_thread(with_regions, each, annotation)
            for each, annotation in zip(new, changed, strict=True)
        ]
        images = tuple(_annotated_images(task, found))
        # Nobody has changed the outdated ones, so only their detections are new.
        changed = [
            annotation if annotation.skipped else annotation.with_detections(self.detector, images, problem)
            for annotation in [*changed, *outdated]
        ]
        return BuiltTask(task_id, ids, changed, read_at)

    async def _infer(
        self, task: Mapping[str, Any], project: Project, controls: Sequence[Control]
    ) -> tuple[Mapping[ImageField, Sequence[InferredImage]], str]:
        """Return the results for a task's images, or why there will be none."""
        try:
            served, _ = served_controls(controls, self._pipeline.kinds, self._pipeline.tiles)
            return await self._pipeline.infer(task, needs_of(served), str(project.id)), ""
        except PrelabelError as error:
            log.warning("annotated image cannot be read", project=project.id, task=task["id"], cause=str(error))
            if error.retryable:
                raise RetryLaterError(f"task {task['id']}: {error.public}") from None
            return {}, printable(f"task {task['id']}: {error}", 500)

    def _reconstruct(
        self, task: int, project: Project, found: Mapping[ImageField, Sequence[InferredImage]]
    ) -> StoredPrediction | None:
        """Return the prediction that would be shown now: events do not hold the one that was, and nobody has one that was withheld."""
        if not found:
            return None
        try:
            postprocessor = self._pipeline.postprocessors.of(project.label_config, str(project.id))
        except LabelConfigError:
            return None
        version = self._pipeline.postprocessors.version_of(postprocessor)
        results = {image_field: [each.results for each in images] for image_field, images in found.items()}
        return StoredPrediction(0, version, postprocessor.predict(task, results, version)["result"], 0.0)


def _with_regions(
    annotation: Annotation,
    given: Mapping[str, Any],
    controls: Sequence[Control],
    beginning: Beginning,
    withheld: StoredPrediction | None,
) -> Annotation:
    """Return an annotation with its drawn boxes and choices, and those that the annotator was shown.

    Args:
        annotation: without them.
        given: as Label Studio has it.
        controls: of the label config of its time.
        beginning: of the annotation.
        withheld: the prediction that would have been shown if the image were not in the holdout; None for others.
    """
    result, shown = given.get("result"), beginning.prediction
    drawn, chosen = read_regions(result, controls), read_choices(result, controls)
    boxes = None if shown is None else tuple(read_regions(shown.regions, controls).boxes)
    choices = None if shown is None else tuple(read_choices(shown.regions, controls).choices)
    audited = withheld is not None and boxes == () and choices == ()
    if withheld is not None and audited:
        choices = tuple(read_choices(withheld.regions, controls).choices)
    return replace(
        annotation,
        drawn=tuple(drawn.boxes),
        drawable=_drawable(controls, [*drawn.boxes, *(boxes or ())]),
        shown=boxes,
        choices=tuple(chosen.choices),
        shown_choices=choices,
        version=shown.version if shown else "",
        accepted=beginning.accepted,
        audited=audited,
        lost=beginning.lost,
        odd=dict(drawn.odd + chosen.odd),
    )


def _annotated_images(
    task: Mapping[str, Any], found: Mapping[ImageField, Sequence[InferredImage]]
) -> Iterable[AnnotatedImage]:
    for image_field, images in found.items():
        values = task["data"][image_field.key]
        for item, (value, each) in enumerate(zip(values if image_field.is_list else [values], images, strict=True)):
            short = isinstance(value, str) and len(value) <= MAX_REFERENCE_LENGTH
            reference = printable(value, MAX_REFERENCE_LENGTH) if short else ""
            if each.results.detections is not None:
                yield AnnotatedImage(image_field.key, item, reference, each.results.detections)


def _is_known(annotation: Mapping[str, Any], known: Mapping[int, Known]) -> bool:
    """Tell whether the database has the record of an annotation as it is now."""
    record = known.get(int(annotation["id"]))
    return record is not None and record.updated_at == updated_at_of(annotation)


def _drawable(controls: Sequence[Control], boxes: Sequence[LabelledBox]) -> dict[str, tuple[str, ...]]:
    """Return the labels that could be drawn: those of the config, and those of boxes, which came after a change that nobody had seen.

    Controls that classify images have none here: figures on choices do not depend on the choices that there were.
    """
    labels = {
        control.from_name: {label.value for label in control.labels} if isinstance(control, RectangleControl) else set()
        for control in controls
    }
    for box in boxes:
        labels.setdefault(box.control, set()).add(box.label)
    return {control: tuple(sorted(each)) for control, each in labels.items()}
