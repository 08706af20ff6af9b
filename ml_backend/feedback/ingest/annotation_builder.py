"""From "this may have changed" to facts: read the annotations of a task, look at its pictures, keep both."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog
from sqlalchemy import Connection

from ml_backend.errors import LabelConfigError, PrelabelError
from ml_backend.feedback.ingest.payloads import controls_of, has_id, updated_at_of, without_boxes
from ml_backend.feedback.ingest.provenance import StoredPrediction, beginning_of, beginning_of_event, predictions_of
from ml_backend.feedback.store.annotation_records import AnnotatedImage, Annotation, Known, known_annotations, put_task
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.projects import Project, config_at, configs_of, put_project
from ml_backend.feedback.store.threads import WritingThread
from ml_backend.label_studio.controls import Control, ImageField
from ml_backend.label_studio.labelled_boxes import LabelledBox, read_regions
from ml_backend.pipeline.image_inference import ImageDetections
from ml_backend.pipeline.postprocessors import in_holdout
from ml_backend.pipeline.prediction import Pipeline
from ml_backend.redaction import printable
from ml_backend.settings import Settings

log = structlog.get_logger(__name__)

AT_ONCE = 4  # tasks whose pictures are looked at; predictions come first
MAX_REFERENCE_LENGTH = 2048  # characters


class LaterError(Exception):
    """A task cannot be judged now, and may be when it is tried again."""


@dataclass(frozen=True)
class Judged:
    """What is to be kept of one task.

    Attributes:
        task: its id.
        ids: of all annotations that it has.
        changed: those of them that are not kept as they are.
        read_at: when that was so, in seconds since 1970.
    """

    task: int
    ids: list[int]
    changed: list[Annotation]
    read_at: float


@dataclass(frozen=True)
class Before:
    """What is known of a project before its tasks are judged.

    Attributes:
        project: as Label Studio has it now.
        known: annotations that are kept, by id.
        configs: the label configs that it had, as :func:`~ml_backend.feedback.store.annotation_records.configs_of` gives them.
    """

    project: Project
    known: Mapping[int, Known] = field(default_factory=dict)
    configs: Sequence[tuple[float, str]] = ()

    def config_at(self, updated_at: str) -> str:
        """Return the label config under which an annotation was made; its time is ISO 8601."""
        return config_at(self.configs, updated_at) if self.configs else self.project.label_config


class AnnotationBuilder:
    """Makes facts of annotations.

    Args:
        settings: as for the service.
        pipeline: finds what is in pictures; almost always the cache knows.
        database: where facts are kept.
        thread: the one that writes.
    """

    def __init__(self, settings: Settings, pipeline: Pipeline, database: Database, thread: WritingThread) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._database = database
        self._thread = thread
        self._places = asyncio.Semaphore(AT_ONCE)
        self.detector = pipeline.detector.fingerprint[:8]

    async def keep_project(self, project: Project) -> None:
        """Keep what a project is called, and its label config."""

        def keep() -> None:
            with self._database.writing() as connection:
                put_project(connection, project)

        await self._thread.run(keep)

    async def judge(
        self, tasks: Sequence[Mapping[str, Any]], project: Project, read_at: float
    ) -> list[Judged | LaterError]:
        """Judge tasks as Label Studio has them, by position; see :meth:`judge_task`.

        Args:
            tasks: whole, with ``annotations`` and ``predictions``.
            project: theirs.
            read_at: when they were asked for, in seconds since 1970.

        Raises:
            FeedbackError: the database cannot be read.
        """

        def read() -> Before:
            with self._database.reading() as connection:
                if connection is None:
                    return Before(project)
                return self.before(connection, project, [int(task["id"]) for task in tasks])

        before = await asyncio.to_thread(read)
        return list(await asyncio.gather(*(self._judge_or_later(task, before, read_at) for task in tasks)))

    def before(self, connection: Connection, project: Project, tasks: list[int]) -> Before:
        """Return what is known of some tasks of a project."""
        known = known_annotations(connection, tasks, self.detector)
        return Before(project, known, configs_of(connection, project.id))

    async def _judge_or_later(self, task: Mapping[str, Any], before: Before, read_at: float) -> Judged | LaterError:
        async with self._places:
            try:
                return await self.judge_task(task, before, read_at)
            except LaterError as error:
                return error
            except Exception:  # one task that nobody thought of must not hold up all others
                log.exception("task cannot be judged", project=before.project.id, task=task["id"])
                return LaterError(f"task {task['id']}: an error inside Prelabel; its log has the details")

    async def judge_task(
        self,
        task: Mapping[str, Any],
        before: Before,
        read_at: float,
        *,
        shown_is_unknown: bool = False,
    ) -> Judged:
        """Make facts of a task's annotations.

        Args:
            task: with ``annotations``, and ``predictions`` unless ``shown_is_unknown``.
            before: its project, and what is known of it. Annotations that are kept as they are now are passed over; of those whose pictures
                another detector has looked at, only the detections are made anew.
            read_at: when the task was asked for, in seconds since 1970, by the clock of the database.
            shown_is_unknown: whether what was shown must be worked out, since nobody says it.

        Raises:
            LaterError: a picture cannot be had now.
        """
        task_id, project, known = int(task["id"]), before.project, before.known
        given = [each for each in task.get("annotations") or [] if has_id(each)]
        new = [each for each in given if not _is_kept(each, known)]
        outdated = [kept for each in given if _is_kept(each, known) and (kept := known[int(each["id"])].outdated)]
        changed = [without_boxes(each, project.id, task_id) for each in new]
        if outdated or not all(annotation.skipped for annotation in changed):
            controls = await asyncio.to_thread(controls_of, project.label_config)
            seen, problem = await self._look(task, project, controls)
            images = tuple(_annotated_images(task, seen))
            fraction = self._settings.holdout_fraction
            withholds = any(in_holdout(each.version.digest, fraction) for found in seen.values() for each in found)
            reconstructed = self._reconstructed(task_id, project, seen, withholds) if shown_is_unknown else None
            predictions = predictions_of(task)

            def with_boxes(each: Mapping[str, Any], annotation: Annotation) -> Annotation:
                if annotation.skipped:
                    return annotation
                controls_then = controls_of(before.config_at(annotation.updated_at)) or controls
                drawn = read_regions(each.get("result"), controls_then)
                if shown_is_unknown:
                    beginning = beginning_of_event(each, task, reconstructed)
                else:
                    beginning = beginning_of(each, predictions, are_shown=project.shows_predictions)
                shown = beginning.prediction
                boxes = None if shown is None else tuple(read_regions(shown.regions, controls_then).boxes)
                return replace(
                    annotation,
                    drawn=tuple(drawn.boxes),
                    drawable=_drawable(controls_then, [*drawn.boxes, *(boxes or ())]),
                    shown=boxes,
                    version=shown.version if shown else "",
                    accepted=beginning.accepted,
                    audited=withholds and boxes == (),
                    lost=beginning.lost,
                    odd=dict(+drawn.odd),
                )

            # Away from the event loop: thousands of regions take a fifth of a second, drawn or predicted.
            changed = [
                await asyncio.to_thread(with_boxes, each, annotation)
                for each, annotation in zip(new, changed, strict=True)
            ]
            # Nobody has changed the outdated ones, so only the detections are new.
            changed = [
                annotation if annotation.skipped else annotation.with_detections(self.detector, images, problem)
                for annotation in [*changed, *outdated]
            ]
        return Judged(task_id, [int(each["id"]) for each in given], changed, read_at)

    async def _look(
        self, task: Mapping[str, Any], project: Project, controls: Sequence[Control]
    ) -> tuple[dict[ImageField, list[ImageDetections]], str]:
        """Return what is in a task's pictures, or why that will not be known."""
        if not controls:
            return {}, "the label config cannot be served"
        try:
            image_fields = list(dict.fromkeys(control.image_field for control in controls))
            return await self._pipeline.look(task, image_fields, str(project.id)), ""
        except PrelabelError as error:
            log.warning("annotated picture cannot be judged", project=project.id, task=task["id"], cause=str(error))
            if error.retryable:
                raise LaterError(f"task {task['id']}: {error.public}") from None
            return {}, printable(f"task {task['id']}: {error}", 500)

    def _reconstructed(
        self, task: int, project: Project, seen: Mapping[ImageField, Sequence[ImageDetections]], withholds: bool
    ) -> StoredPrediction | None:
        """Return the prediction that would be shown now: an event does not say which one was."""
        if not seen:
            return None
        try:
            postprocessor = self._pipeline.postprocessors.of(project.label_config, str(project.id))
        except LabelConfigError:
            return None
        version = self._pipeline.postprocessors.version_of(postprocessor)
        found = {source: [each.detections for each in of_source] for source, of_source in seen.items()}
        regions = [] if withholds else postprocessor.predict(task, found, version)["result"]
        return StoredPrediction(0, version, regions, 0.0)

    async def keep(self, project: int, judged: Sequence[Judged], settle: Iterable[Any] = ()) -> None:
        """Keep facts and run further statements, in one transaction.

        Raises:
            FeedbackError: that is not possible now.
        """

        def write() -> None:
            with self._database.writing() as connection:
                for each in judged:
                    put_task(connection, project, each.task, each.ids, each.changed, each.read_at)
                for statement in settle:
                    connection.execute(statement)

        await self._thread.run(write)


def outdated_task(number: int, before: Before) -> dict[str, Any]:
    """Return a task as far as the facts of its outdated annotations hold it."""
    kept = [known.outdated for known in before.known.values() if known.outdated]
    references: dict[str, list[str]] = {}
    for image in sorted(kept[-1].images if kept else (), key=lambda image: image.item):
        references.setdefault(image.key, []).append(image.reference)
    lists = {control.data_key for control in controls_of(before.project.label_config) if control.is_list}
    return {
        "id": number,
        "data": {key: values if key in lists else values[0] for key, values in references.items()},
        "annotations": [{"id": each.id, "updated_at": each.updated_at} for each in kept],
    }


def _annotated_images(
    task: Mapping[str, Any], seen: Mapping[ImageField, Sequence[ImageDetections]]
) -> Iterable[AnnotatedImage]:
    for source, of_source in seen.items():
        values = task["data"][source.key]
        for item, (value, each) in enumerate(zip(values if source.is_list else [values], of_source, strict=True)):
            short = isinstance(value, str) and len(value) <= MAX_REFERENCE_LENGTH
            reference = printable(value, MAX_REFERENCE_LENGTH) if short else ""
            yield AnnotatedImage(source.key, item, reference, each.detections)


def _is_kept(annotation: Mapping[str, Any], known: Mapping[int, Known]) -> bool:
    before = known.get(int(annotation["id"]))
    return before is not None and before.updated_at == updated_at_of(annotation)


def _drawable(controls: Sequence[Control], boxes: Sequence[LabelledBox]) -> dict[str, tuple[str, ...]]:
    """Return the labels that could be drawn: those of the config, and those of boxes, which came after a change that nobody had seen."""
    labels = {control.from_name: {label.value for label in control.labels} for control in controls}
    for box in boxes:
        labels.setdefault(box.control, set()).add(box.label)
    return {control: tuple(sorted(each)) for control, each in labels.items()}
