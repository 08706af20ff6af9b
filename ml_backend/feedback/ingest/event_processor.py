"""From what is due to facts: read back from Label Studio, or as trusted events tell it."""

import asyncio
import itertools
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection

from ml_backend.errors import FeedbackError, LabelStudioError
from ml_backend.feedback.ingest.annotation_builder import AnnotationBuilder, Before, Judged, LaterError, outdated_task
from ml_backend.feedback.ingest.payloads import read_payload
from ml_backend.feedback.store.annotation_records import (
    forget_annotation,
    pass_over_broken,
    put_annotation,
    put_task,
    tasks_of_annotations,
    tasks_of_project,
)
from ml_backend.feedback.store.database import Database, now
from ml_backend.feedback.store.event_queue import QueuedEvent, postpone, settle
from ml_backend.feedback.store.projects import Project, get_project, put_project
from ml_backend.feedback.store.threads import WritingThread
from ml_backend.label_studio.client import NO_CLIENT, PAGE, GoneError, StudioClient, UncertainError
from ml_backend.pipeline.prediction import Pipeline
from ml_backend.settings import Settings

log = structlog.get_logger(__name__)
T = TypeVar("T")
Change = Callable[[Connection], None]

PORTION = 20  # tasks that are read from Label Studio at once: their numbers stand in the address
MAX_TRIES = 30  # of events about a project that is not there: about a day
UNHEARD_TRIES = 7  # of events about an annotation that is not known: about two minutes
PAUSES = (0.5,)  # an event can wait; whoever holds the client up cannot


class EventProcessor:
    """Settles what is due.

    Args:
        settings: as for the service.
        pipeline: entered.
        database: where facts are kept.
        thread: the one that writes.

    Attributes:
        client: Label Studio, where annotations are read back; None where there is no token for that.
        trusted: whether events count as they come.
    """

    def __init__(self, settings: Settings, pipeline: Pipeline, database: Database, thread: WritingThread) -> None:
        self._settings = settings
        self._database = database
        self._thread = thread
        self._judge = AnnotationBuilder(settings, pipeline, database, thread)
        has_token = settings.label_studio_url is not None and settings.label_studio_api_key is not None
        self.client = StudioClient(settings, PAUSES) if has_token else None
        self.trusted = self.client is None and settings.trust_webhooks

    async def settle(self, waiting: Sequence[QueuedEvent]) -> None:
        """Settle what is due, project by project. What cannot be settled now is put off.

        Raises:
            FeedbackError: the database cannot be used.
        """
        for _, group in itertools.groupby(sorted(waiting, key=_project), key=_project):
            for portion in _portions(list(group)):
                await self._settle(portion)

    async def _settle(self, group: Sequence[QueuedEvent]) -> None:
        """Settle what is due in one project."""
        try:
            if self.client is None:
                await self._settle_trusted(group)
            else:
                await self._settle_read_back(group, self.client)
        except (LabelStudioError, UncertainError) as error:
            gone = [each for each in group if isinstance(error, GoneError) and each.tries >= MAX_TRIES]
            if gone:
                log.warning("events of a project that is not there", project=gone[0].project, cause=str(error))
                await self._judge.keep(gone[0].project, [], map(settle, gone))
            await self._postpone([each for each in group if each not in gone], str(error))
        except Exception as error:  # one that nobody thought of must not hold up all others
            if len(group) > 1:
                for half in (group[: len(group) // 2], group[len(group) // 2 :]):
                    await self._settle(half)
            else:
                log.exception("event cannot be judged", project=group[0].project)
                await self._postpone(group, f"an error inside Prelabel: {error!r}")

    async def _settle_read_back(self, group: Sequence[QueuedEvent], client: StudioClient) -> None:
        project = await self._read_project(client, group[0].project)
        numbers = await asyncio.to_thread(self._tasks_of, group)
        outcomes = await self._reconcile(client, project, sorted({task for tasks in numbers for task in tasks}))
        settled: list[QueuedEvent] = []
        for each, tasks in zip(group, numbers, strict=True):
            failures = [str(outcomes[task]) for task in tasks if isinstance(outcomes[task], LaterError)]
            # What nobody has heard of yet may be on its way: a page of tasks that is judged right now may still hold it.
            unheard = each.kind == "annotation" and not tasks and each.tries < UNHEARD_TRIES
            if failures or unheard:
                await self._postpone([each], failures[0] if failures else "")
            else:
                settled.append(each)
        judged = [outcome for outcome in outcomes.values() if isinstance(outcome, Judged)]
        await self._judge.keep(project.id, judged, map(settle, settled))

    def _tasks_of(self, group: Sequence[QueuedEvent]) -> list[list[int]]:
        """Return the tasks that each of some hints is about."""
        with self._database.reading() as connection:
            return [
                [each.object]
                if each.kind in {"task", "detections"}
                else tasks_of_annotations(connection, each.project, [each.object])
                if each.kind == "annotation" and connection is not None
                else []
                for each in group
            ]

    async def _read_project(self, client: StudioClient, number: int) -> Project:
        found = await asyncio.to_thread(client.project, number)
        shows = getattr(found, "show_collab_predictions", None) is not False
        project = Project(number, str(found.title or ""), str(found.label_config or ""), shows)
        await self._judge.keep_project(project)
        return project

    async def _reconcile(
        self, client: StudioClient, project: Project, tasks: Sequence[int]
    ) -> dict[int, Judged | LaterError]:
        """Judge tasks as they are now, by id; one that is not there any more has no annotations."""
        outcomes: dict[int, Judged | LaterError] = {}
        for portion in _portions(tasks):
            read_at = await asyncio.to_thread(self._database.now)
            outcomes |= {task: Judged(task, [], [], read_at) for task in portion}
            found = await asyncio.to_thread(client.tasks_by_id, project.id, portion)
            for task, outcome in zip(found, await self._judge.judge(found, project, read_at), strict=True):
                outcomes[int(task["id"])] = outcome
        return outcomes

    async def _settle_trusted(self, group: Sequence[QueuedEvent]) -> None:
        """Settle what events say themselves, without asking Label Studio; in one transaction, since each costs a wait for the disk."""
        changes: list[tuple[QueuedEvent, Change]] = []
        for each in group:
            try:
                changes.append((each, await self._change_of(each)))
            except LaterError as error:
                await self._postpone([each], str(error))
            except Exception as error:  # it comes from anybody, and must not hold up all others
                log.warning("event cannot be used", project=each.project, cause=repr(error))
                changes.append((each, lambda _: None))

        def write() -> None:
            with self._database.writing() as connection:
                for each, change in changes:
                    change(connection)
                    connection.execute(settle(each))

        await self._thread.run(write)

    async def _change_of(self, each: QueuedEvent) -> Change:
        """Return what an event changes in the database.

        Raises:
            LaterError: a picture cannot be had now.
        """
        if each.kind == "detections":
            return await self._judge_again(each)
        if not each.payload and each.kind == "task":  # events about one without a payload say that it is gone
            return lambda connection: put_task(connection, each.project, each.object, [], [], now(connection))
        if not each.payload:
            return lambda connection: forget_annotation(connection, each.project, each.object)
        annotation, task, label_config = await asyncio.to_thread(
            read_payload, each.payload, self._settings.label_config_max_bytes
        )
        project = Project(each.project, "", label_config)
        whole = task | {"annotations": [annotation]} if annotation else {"id": each.object}
        judged = await self._judge.judge_task(whole, Before(project), 0.0, shown_is_unknown=True)

        def keep(connection: Connection) -> None:
            put_project(connection, project)
            for changed in judged.changed:
                put_annotation(connection, changed)

        return keep

    async def _judge_again(self, each: QueuedEvent) -> Change:
        """Return the annotations of a task with what the current detector finds, for those who have nobody to read the task back from.

        Raises:
            LaterError: a picture cannot be had now.
        """

        def read() -> tuple[Before, dict[str, Any]]:
            with self._database.reading() as connection:
                if connection is None:
                    raise FeedbackError("the database is gone")
                project = get_project(connection, each.project, self._database.place)
                before = self._judge.before(connection, project, [each.object])
            return before, outdated_task(each.object, before)

        before, task = await asyncio.to_thread(read)
        judged = await self._judge.judge_task(task, before, 0.0)

        def keep(connection: Connection) -> None:
            for changed in judged.changed:
                put_annotation(connection, changed)
            pass_over_broken(connection, each.project, each.object, self._judge.detector)

        return keep

    async def _postpone(self, group: Sequence[QueuedEvent], problem: str) -> None:
        if group and problem:
            log.warning("events wait", project=group[0].project, objects=len(group), cause=problem)
        await self._thread.run(partial(postpone, self._database, group, problem))

    async def sync(self, number: int, progress: Callable[[int], None]) -> tuple[int, int, list[str]]:
        """Bring the facts of a project up to date with Label Studio, whatever events came or did not.

        Args:
            number: id of the project.
            progress: is told how many tasks have been gone through.

        Returns:
            How many annotations there are, how many of them were judged now, and why tasks could not be.

        Raises:
            PrelabelError: Label Studio or the database cannot be used; what was done is kept.
        """
        if self.client is None:
            raise FeedbackError(NO_CLIENT)
        try:
            return await self._sync(self.client, number, progress)
        except UncertainError as error:
            raise FeedbackError(f"Label Studio does not answer ({error}); what is done is kept: try again") from None

    async def _sync(
        self, client: StudioClient, number: int, progress: Callable[[int], None]
    ) -> tuple[int, int, list[str]]:
        project = await self._read_project(client, number)
        before = await asyncio.to_thread(self._known_tasks, number)
        there = judged = 0
        problems: list[str] = []

        async def keep(outcomes: Sequence[Judged | LaterError]) -> None:
            nonlocal there, judged
            done = [each for each in outcomes if isinstance(each, Judged)]
            problems.extend(str(each) for each in outcomes if isinstance(each, LaterError))
            await self._judge.keep(number, done)
            there += sum(len(each.ids) for each in done)
            judged += sum(len(each.changed) for each in done)

        gone_through: set[int] = set()
        tasks = client.tasks(number, annotated=True)
        while True:
            read_at = await asyncio.to_thread(self._database.now)
            page = await asyncio.to_thread(lambda: list(itertools.islice(tasks, PAGE)))
            if not page:
                break
            gone_through.update(int(task["id"]) for task in page)
            await keep(await self._judge.judge(page, project, read_at))
            progress(len(gone_through))
        # What lost its annotations, or was skipped since.
        rest = await self._reconcile(client, project, sorted(before - gone_through))
        await keep(list(rest.values()))
        return there, judged, problems

    def _known_tasks(self, project: int) -> set[int]:
        with self._database.reading() as connection:
            return set() if connection is None else set(tasks_of_project(connection, project))


def _project(each: QueuedEvent) -> int:
    return each.project


def _portions(each: Sequence[T]) -> Iterable[list[T]]:
    for start in range(0, len(each), PORTION):
        yield list(each[start : start + PORTION])
