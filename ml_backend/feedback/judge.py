"""From "this may have changed" to facts: read the annotations of a task, look at its pictures, keep both."""

import asyncio
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import structlog

from ml_backend.errors import FeedbackError, LabelConfigError, PrelabelError
from ml_backend.feedback.database import Database, storable
from ml_backend.feedback.events import LARGEST_ID
from ml_backend.feedback.facts import Annotation, Project, SeenPicture, known_versions, put_project, put_task
from ml_backend.feedback.regions import number, read_regions
from ml_backend.feedback.threads import WritingThread
from ml_backend.labels import Control, Source, parse_label_config
from ml_backend.pictures import Seen
from ml_backend.pipeline import Pipeline
from ml_backend.policies import withheld
from ml_backend.redaction import printable
from ml_backend.settings import Settings

log = structlog.get_logger(__name__)

AT_ONCE = 4  # tasks whose pictures are looked at; predictions come first
LONGEST_REFERENCE = 2048  # characters


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


class Judge:
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

        def read() -> dict[int, str]:
            with self._database.reading() as connection:
                return {} if connection is None else known_versions(connection, [int(task["id"]) for task in tasks])

        known = await asyncio.to_thread(read)
        return list(await asyncio.gather(*(self._judge_or_later(task, project, known, read_at) for task in tasks)))

    async def _judge_or_later(
        self, task: Mapping[str, Any], project: Project, known: Mapping[int, str], read_at: float
    ) -> Judged | LaterError:
        async with self._places:
            try:
                return await self.judge_task(task, project, known, read_at)
            except LaterError as error:
                return error
            except Exception:  # one task that nobody thought of must not hold up all others
                log.exception("task cannot be judged", project=project.id, task=task["id"])
                return LaterError(f"task {task['id']}: an error inside Prelabel; its log has the details")

    async def judge_task(
        self,
        task: Mapping[str, Any],
        project: Project,
        known: Mapping[int, str],
        read_at: float,
        *,
        shown_is_unknown: bool = False,
    ) -> Judged:
        """Make facts of a task's annotations.

        Args:
            task: with ``annotations``, and ``predictions`` unless ``shown_is_unknown``.
            project: its project.
            known: when annotations that are kept were last updated, by id; those are passed over.
            read_at: when the task was asked for, in seconds since 1970.
            shown_is_unknown: whether what was shown must be worked out, since nobody says it.

        Raises:
            LaterError: a picture cannot be had now.
        """
        task_id = int(task["id"])
        given = [each for each in task.get("annotations") or [] if _has_id(each)]
        new = [each for each in given if known.get(int(each["id"])) != _text(each, "updated_at")]
        changed = [_without_boxes(each, project.id, task_id) for each in new]
        if not all(annotation.skipped for annotation in changed):
            controls = await asyncio.to_thread(controls_of, project.label_config)
            seen, problem = await self._look(task, project, controls)
            fraction = self._settings.audit_fraction
            withholds = any(withheld(each.version.digest, fraction) for found in seen.values() for each in found)
            shown = self._reconstructed(task_id, project, seen, withholds) if shown_is_unknown else _shown(task)
            pictures = tuple(_pictures(task, seen))

            def with_boxes(each: Mapping[str, Any], annotation: Annotation) -> Annotation:
                drawn = read_regions(each.get("result"), controls)
                parent = each.get("parent_prediction")
                parent = parent if isinstance(parent, int) else None
                version, regions = shown.get(0 if shown_is_unknown and parent else parent, ("", None))
                boxes = None if regions is None else tuple(read_regions(regions, controls).boxes)
                return replace(
                    annotation,
                    drawn=tuple(drawn.boxes),
                    shown=boxes,
                    version=version,
                    audited=withholds and boxes == (),
                    lost=boxes is None and (parent is not None or _began_with_boxes(each)),
                    pictures=pictures,
                    odd=dict(+drawn.odd),
                    problem=problem,
                )

            # Away from the event loop: thousands of regions take a fifth of a second, drawn or predicted.
            changed = [
                annotation if annotation.skipped else await asyncio.to_thread(with_boxes, each, annotation)
                for each, annotation in zip(new, changed, strict=True)
            ]
        return Judged(task_id, [int(each["id"]) for each in given], changed, read_at)

    async def _look(
        self, task: Mapping[str, Any], project: Project, controls: Sequence[Control]
    ) -> tuple[dict[Source, list[Seen]], str]:
        """Return what is in a task's pictures, or why that will not be known."""
        if not controls:
            return {}, "the label config cannot be served"
        try:
            sources = list(dict.fromkeys(control.source for control in controls))
            return await self._pipeline.look(task, sources, str(project.id)), ""
        except PrelabelError as error:
            log.warning("annotated picture cannot be judged", project=project.id, task=task["id"], cause=str(error))
            if error.retryable:
                raise LaterError(f"task {task['id']}: {error.public}") from None
            return {}, printable(f"task {task['id']}: {error}", 500)

    def _reconstructed(
        self, task: int, project: Project, seen: Mapping[Source, Sequence[Seen]], withholds: bool
    ) -> dict[object, tuple[str, Any]]:
        """Return what would be shown now: an event does not say what was."""
        if not seen:
            return {}
        try:
            policy = self._pipeline.policies.of(project.label_config, str(project.id))
        except LabelConfigError:
            return {}
        version = self._pipeline.policies.version_of(policy)
        found = {source: [each.detections for each in of_source] for source, of_source in seen.items()}
        return {0: (version, [] if withholds else policy.predict(task, found, version)["result"])}

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


def read_payload(payload: bytes, longest_config: int) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Return annotation, task and label config of an event that is trusted; the first two are empty in one about the project.

    Args:
        payload: of the event.
        longest_config: the most characters of the label config.

    Raises:
        FeedbackError: they are not what they should be.
    """
    values = json.loads(payload)
    annotation, task, label_config = values["annotation"] or {}, values["task"] or {}, values["label_config"]
    if not isinstance(annotation, dict) or not isinstance(task, dict) or not isinstance(label_config, str):
        raise FeedbackError("the event does not hold annotation, task and label config")
    if len(label_config) > longest_config:
        raise FeedbackError("the event's label config is over the limit (PRELABEL_LABEL_CONFIG_MAX_BYTES)")
    return annotation, task, label_config


def _shown(task: Mapping[str, Any]) -> dict[object, tuple[str, Any]]:
    """Return version and regions of a task's predictions, by id."""
    return {
        each.get("id"): (printable(str(each.get("model_version") or ""), 200), each.get("result") or [])
        for each in task.get("predictions") or []
        if isinstance(each, dict) and isinstance(each.get("id"), int)
    }


def _pictures(task: Mapping[str, Any], seen: Mapping[Source, Sequence[Seen]]) -> Iterable[SeenPicture]:
    for source, of_source in seen.items():
        values = task["data"][source.key]
        for item, (value, each) in enumerate(zip(values if source.is_list else [values], of_source, strict=True)):
            short = isinstance(value, str) and len(value) <= LONGEST_REFERENCE
            reference = printable(value, LONGEST_REFERENCE) if short else ""
            yield SeenPicture(source.key, item, reference, each.detections)


def _without_boxes(annotation: Mapping[str, Any], project: int, task: int) -> Annotation:
    """Return what an annotation is besides boxes."""
    who = annotation.get("completed_by")
    if isinstance(who, dict):
        who = who.get("id")
    seconds = number(annotation.get("lead_time"))
    return Annotation(
        id=int(annotation["id"]),
        project=project,
        task=task,
        annotator=who if isinstance(who, int) and 0 < who <= LARGEST_ID else None,
        updated_at=_text(annotation, "updated_at"),
        skipped=bool(annotation.get("was_cancelled")),
        seconds=seconds if 0 <= seconds < math.inf else None,
    )


def _began_with_boxes(annotation: Mapping[str, Any]) -> bool:
    """Tell whether a region says that it came from a prediction, changed or not."""
    regions = annotation.get("result")
    return isinstance(regions, list) and any(
        isinstance(region, dict) and str(region.get("origin")).startswith("prediction") for region in regions
    )


def _text(annotation: Mapping[str, Any], name: str) -> str:
    return storable(str(annotation.get(name) or ""), 60)


def _has_id(annotation: object) -> bool:
    given = annotation.get("id") if isinstance(annotation, dict) else None
    return isinstance(given, int) and not isinstance(given, bool) and 0 < given <= LARGEST_ID


@lru_cache(maxsize=16)
def controls_of(label_config: str) -> Sequence[Control]:
    """Return the rectangle controls of a label config; none where it cannot be served."""
    try:
        return parse_label_config(label_config)[0]
    except LabelConfigError:
        return ()
