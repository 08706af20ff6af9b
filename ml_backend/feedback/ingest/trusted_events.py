"""Processes events by their own payloads: without a token there is no Label Studio to read the annotations back from."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Connection

from ml_backend.errors import FeedbackError
from ml_backend.feedback.ingest.annotation_builder import AnnotationBuilder, BuildContext, RetryLaterError
from ml_backend.feedback.ingest.event_processor import Postponed
from ml_backend.feedback.ingest.payloads import controls_of, read_payload
from ml_backend.feedback.store.annotation_records import (
    delete_annotation,
    put_annotation,
    put_task,
    skip_incomplete,
)
from ml_backend.feedback.store.database import Database, now
from ml_backend.feedback.store.event_queue import QueuedEvent, delete_processed
from ml_backend.feedback.store.projects import Project, get_project, put_project
from ml_backend.feedback.store.threads import WritingThread

log = structlog.get_logger(__name__)

Change = Callable[[Connection], None]


@dataclass(frozen=True)
class TrustedEvents:
    """Processes events by their own payloads.

    Attributes:
        database: of the corrections.
        thread: the one that writes to it.
        builder: builds annotation records.
        max_config_length: most characters of a label config.
    """

    database: Database
    thread: WritingThread
    builder: AnnotationBuilder
    max_config_length: int

    async def process(self, events: Sequence[QueuedEvent]) -> list[Postponed]:
        """Process events of one project in one transaction, since each transaction waits for the disk.

        Returns:
            The events to try again, with the reason.
        """
        changes: list[tuple[QueuedEvent, Change]] = []
        postponed: list[Postponed] = []
        for event in events:
            try:
                changes.append((event, await self._change_of(event)))
            except RetryLaterError as error:
                postponed.append((event, str(error)))
            except Exception as error:  # anybody can send events, and one must not hold up all others
                log.warning("event cannot be used", project=event.project, cause=repr(error))
                changes.append((event, lambda _: None))

        def write() -> None:
            with self.database.writing() as connection:
                for event, change in changes:
                    change(connection)
                    connection.execute(delete_processed(event))

        await self.thread.run(write)
        return postponed

    async def _change_of(self, event: QueuedEvent) -> Change:
        """Return the change that an event makes in the database.

        Raises:
            RetryLaterError: an image cannot be had now.
        """
        if event.kind == "detections":
            return await self._detect_again(event)
        if not event.payload and event.kind == "task":  # an event without a payload says that its object is gone
            return lambda connection: put_task(connection, event.project, event.object, [], [], now(connection))
        if not event.payload:
            return lambda connection: delete_annotation(connection, event.project, event.object)
        annotation, task, label_config = await asyncio.to_thread(read_payload, event.payload, self.max_config_length)
        project = Project(event.project, "", label_config)
        whole = task | {"annotations": [annotation]} if annotation else {"id": event.object}
        built = await self.builder.build(whole, BuildContext(project), 0.0, shown_is_unknown=True)

        def change(connection: Connection) -> None:
            put_project(connection, project)
            for changed in built.changed:
                put_annotation(connection, changed)

        return change

    async def _detect_again(self, event: QueuedEvent) -> Change:
        """Return the change that gives the annotations of a task the detections of the current detector.

        Raises:
            RetryLaterError: an image cannot be had now.
        """

        def read() -> tuple[BuildContext, dict[str, Any]]:
            with self.database.reading() as connection:
                if connection is None:
                    raise FeedbackError("the database is gone")
                project = get_project(connection, event.project, self.database.place)
                context = BuildContext.read(connection, project, [event.object], self.builder.detector)
            return context, outdated_task(event.object, context)

        context, task = await asyncio.to_thread(read)
        built = await self.builder.build(task, context, 0.0)

        def change(connection: Connection) -> None:
            for changed in built.changed:
                put_annotation(connection, changed)
            skip_incomplete(connection, event.project, event.object, self.builder.detector)

        return change


def outdated_task(number: int, context: BuildContext) -> dict[str, Any]:
    """Return a task with its outdated annotations, as far as their records hold it."""
    outdated = [known.outdated for known in context.known.values() if known.outdated]
    references: dict[str, list[str]] = {}
    for image in sorted(outdated[-1].images if outdated else (), key=lambda image: image.item):
        references.setdefault(image.key, []).append(image.reference)
    lists = {control.data_key for control in controls_of(context.project.label_config) if control.is_list}
    return {
        "id": number,
        "data": {key: values if key in lists else values[0] for key, values in references.items()},
        "annotations": [{"id": each.id, "updated_at": each.updated_at} for each in outdated],
    }
