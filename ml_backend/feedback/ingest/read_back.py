"""Processes events by reading their tasks back from Label Studio, and synchronizes whole projects with it."""

import asyncio
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Delete

from ml_backend.errors import FeedbackError
from ml_backend.feedback.ingest.annotation_builder import AnnotationBuilder, BuildContext, BuiltTask, RetryLaterError
from ml_backend.feedback.ingest.event_processor import Postponed, portions
from ml_backend.feedback.store.annotation_records import put_task, tasks_of_annotations, tasks_of_project
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.event_queue import QueuedEvent, delete_processed
from ml_backend.feedback.store.projects import Project, put_project
from ml_backend.feedback.store.threads import WritingThread
from ml_backend.label_studio.client import PAGE, StudioClient, UncertainError

UNKNOWN_TRIES = 7  # of events about an annotation that is not known: about two minutes

Result = BuiltTask | RetryLaterError


@dataclass(frozen=True)
class ReadBack:
    """Reads tasks back from Label Studio, and keeps the records of their annotations.

    Attributes:
        client: Label Studio.
        database: of the corrections.
        thread: the one that writes to it.
        builder: builds annotation records.
    """

    client: StudioClient
    database: Database
    thread: WritingThread
    builder: AnnotationBuilder

    async def process(self, events: Sequence[QueuedEvent]) -> list[Postponed]:
        """Process events of one project.

        Returns:
            The events to try again, with the reason.

        Raises:
            LabelStudioError: Label Studio refuses, or the project is gone.
            UncertainError: Label Studio does not answer.
        """
        project = await self._read_project(events[0].project)
        tasks_by_event = await asyncio.to_thread(self._tasks_of, events)
        results = await self._read_tasks(project, sorted({task for tasks in tasks_by_event for task in tasks}))
        processed: list[QueuedEvent] = []
        postponed: list[Postponed] = []
        for event, tasks in zip(events, tasks_by_event, strict=True):
            failures = [str(results[task]) for task in tasks if isinstance(results[task], RetryLaterError)]
            # An unknown annotation may be on its way: it may be in a page of tasks that is being processed right now.
            unknown = event.kind == "annotation" and not tasks and event.tries < UNKNOWN_TRIES
            if failures or unknown:
                postponed.append((event, failures[0] if failures else ""))
            else:
                processed.append(event)
        await self._keep(project.id, results.values(), map(delete_processed, processed))
        return postponed

    def _tasks_of(self, events: Sequence[QueuedEvent]) -> list[list[int]]:
        """Return the tasks that each event is about."""
        with self.database.reading() as connection:
            return [
                [each.object]
                if each.kind in {"task", "detections"}
                else tasks_of_annotations(connection, each.project, [each.object])
                if each.kind == "annotation" and connection is not None
                else []
                for each in events
            ]

    async def _read_project(self, number: int) -> Project:
        """Read a project from Label Studio, and keep its title and label config."""
        found = await asyncio.to_thread(self.client.project, number)
        shows = getattr(found, "show_collab_predictions", None) is not False
        project = Project(number, str(found.title or ""), str(found.label_config or ""), shows)

        def write() -> None:
            with self.database.writing() as connection:
                put_project(connection, project)

        await self.thread.run(write)
        return project

    async def _read_tasks(self, project: Project, tasks: Sequence[int]) -> dict[int, Result]:
        """Build tasks as they are now, by id; one that does not exist any more has no annotations."""
        results: dict[int, Result] = {}
        for portion in portions(tasks):
            read_at = await asyncio.to_thread(self.database.now)
            results |= {task: BuiltTask(task, [], [], read_at) for task in portion}
            found = await asyncio.to_thread(self.client.tasks_by_id, project.id, portion)
            built = await self._build(project, found, read_at)
            results |= {int(task["id"]): result for task, result in zip(found, built, strict=True)}
        return results

    async def _build(self, project: Project, tasks: Sequence[Mapping[str, Any]], read_at: float) -> list[Result]:
        def read() -> BuildContext:
            ids = [int(task["id"]) for task in tasks]
            with self.database.reading() as connection:
                return BuildContext.read(connection, project, ids, self.builder.detector)

        return await self.builder.build_all(tasks, await asyncio.to_thread(read), read_at)

    async def _keep(self, project: int, results: Iterable[Result], deletions: Iterable[Delete] = ()) -> None:
        """Keep built tasks and delete processed events, in one transaction."""

        def write() -> None:
            with self.database.writing() as connection:
                for each in results:
                    if isinstance(each, BuiltTask):
                        put_task(connection, project, each.task, each.ids, each.changed, each.read_at)
                for deletion in deletions:
                    connection.execute(deletion)

        await self.thread.run(write)

    async def sync(self, number: int, progress: Callable[[int], None]) -> tuple[int, int, list[str]]:
        """Synchronize the records of a project with Label Studio, independently of events.

        Args:
            number: id of the project.
            progress: called with the number of tasks that have been read.

        Returns:
            How many annotations the project has, how many of them were new or changed, and why tasks could not be processed.

        Raises:
            PrelabelError: Label Studio or the database cannot be used; results so far are kept.
        """
        try:
            return await self._sync(number, progress)
        except UncertainError as error:
            raise FeedbackError(f"Label Studio does not answer ({error}); results so far are kept: try again") from None

    async def _sync(self, number: int, progress: Callable[[int], None]) -> tuple[int, int, list[str]]:
        project = await self._read_project(number)
        known = await asyncio.to_thread(self._known_tasks, number)
        annotations = changed = 0
        problems: list[str] = []

        async def keep(results: Sequence[Result]) -> None:
            nonlocal annotations, changed
            await self._keep(number, results)
            for each in results:
                if isinstance(each, BuiltTask):
                    annotations += len(each.ids)
                    changed += len(each.changed)
                else:
                    problems.append(str(each))

        read: set[int] = set()
        tasks = self.client.tasks(number, annotated=True)
        while True:
            read_at = await asyncio.to_thread(self.database.now)
            page = await asyncio.to_thread(lambda: list(itertools.islice(tasks, PAGE)))
            if not page:
                break
            read.update(int(task["id"]) for task in page)
            await keep(await self._build(project, page, read_at))
            progress(len(read))
        # Known tasks that are not listed have lost their annotations, or were skipped since.
        rest = await self._read_tasks(project, sorted(known - read))
        await keep(list(rest.values()))
        return annotations, changed, problems

    def _known_tasks(self, project: int) -> set[int]:
        with self.database.reading() as connection:
            return set() if connection is None else set(tasks_of_project(connection, project))
