"""The part of the service that listens: events in, facts out, and Start Training."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog

from ml_backend.errors import FeedbackError, LabelStudioError
from ml_backend.feedback.database import Database
from ml_backend.feedback.events import Event, read_event
from ml_backend.feedback.facts import (
    Project,
    forget_annotation,
    put_annotation,
    put_project,
    tasks_of_annotations,
    tasks_of_project,
)
from ml_backend.feedback.journal import Due, Journal, due, pending, postpone, settle
from ml_backend.feedback.judge import Judge, Judged, LaterError, read_payload
from ml_backend.feedback.threads import WritingThread
from ml_backend.pipeline import Pipeline
from ml_backend.redaction import printable
from ml_backend.settings import Settings
from ml_backend.studio_client import PAGE, GoneError, StudioClient, UncertainError

log = structlog.get_logger(__name__)

POLL_SECONDS = 2  # after which events of another process, and those that failed before, are looked for
PORTION = 20  # tasks that are read from Label Studio at once: their numbers stand in the address
LONGEST_CONFIG = 10_000_000  # characters
PAUSES = (0.5,)  # an event can wait; whoever holds the client up cannot


class Listener:
    """Takes events and makes facts of them.

    Args:
        settings: as for the service.
        pipeline: entered.
    """

    def __init__(self, settings: Settings, pipeline: Pipeline) -> None:
        self._settings = settings
        self.database = Database(settings)
        self._thread = WritingThread()
        self._journal = Journal(self.database, self._thread.run)
        self._judge = Judge(settings, pipeline, self.database, self._thread)
        has_token = settings.label_studio_url is not None and settings.label_studio_api_key is not None
        self._client = StudioClient(settings, PAUSES) if has_token else None
        self._trusted = self._client is None and settings.trust_webhooks
        self._wake = asyncio.Event()

    @property
    def listens(self) -> bool:
        """Whether events count: they can be read back, or are trusted."""
        return self._client is not None or self._trusted

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Judge what comes in while the block lasts."""
        working = asyncio.create_task(self._work()) if self.listens else None
        try:
            yield
        finally:
            if working is not None:
                working.cancel()
                with suppress(asyncio.CancelledError):
                    await working
            await self._journal.drain()
            await self.close()

    async def close(self) -> None:
        """Let go of the database, for those who did not listen."""
        await asyncio.to_thread(self._thread.close)
        self.database.close()

    async def take(self, body: bytes) -> Event:
        """Take an event; when this returns, what it hints at is on the disk.

        Raises:
            FeedbackError: it could not be written.
        """
        event = read_event(body, trusted=self._trusted)
        if self.listens and event.hints:
            await self._journal.append(event.hints)
            self._wake.set()
        return event

    async def _work(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), POLL_SECONDS)
            self._wake.clear()
            try:
                while await self.work_once():
                    pass
            except FeedbackError as error:
                log.warning("events cannot be judged now", cause=str(error))
                await asyncio.sleep(POLL_SECONDS)
            except Exception:
                log.exception("judging events failed unexpectedly")
                await asyncio.sleep(POLL_SECONDS)

    async def work_once(self) -> bool:
        """Judge a portion of what is due; tells whether there was any.

        Raises:
            FeedbackError: the database cannot be used.
        """
        waiting = await self._thread.run(lambda: due(self.database, PORTION))
        for _, group in itertools.groupby(sorted(waiting, key=_place), key=_place):
            await self._settle(list(group))
        return bool(waiting)

    async def _settle(self, group: Sequence[Due]) -> None:
        """Settle what is due in one project."""
        if self._client is None:
            for each in group:
                await self._settle_trusted(each)
            return
        try:
            project = await self._read_project(group[0].project)
            numbers = await self._thread.run(lambda: self._tasks_of(group))
            outcomes = await self._reconcile(project, sorted({task for tasks in numbers for task in tasks}))
        except GoneError as error:
            log.warning("events of a project that is not there", project=group[0].project, cause=str(error))
            await self._judge.keep(group[0].project, [], map(settle, group))
            return
        except (LabelStudioError, UncertainError) as error:
            await self._postpone(group, str(error))
            return
        judged: list[Judged] = []
        settled: list[Due] = []
        for each, tasks in zip(group, numbers, strict=True):
            failures = [str(outcomes[task]) for task in tasks if isinstance(outcomes[task], LaterError)]
            if failures:
                await self._postpone([each], failures[0])
            else:
                settled.append(each)
        judged = [outcome for outcome in outcomes.values() if isinstance(outcome, Judged)]
        await self._judge.keep(project.id, judged, map(settle, settled))

    def _tasks_of(self, group: Sequence[Due]) -> list[list[int]]:
        """Return the tasks that each of some hints is about."""
        with self.database.reading() as connection:
            return [
                [each.object]
                if each.kind == "task"
                else tasks_of_annotations(connection, each.project, [each.object])
                if each.kind == "annotation" and connection is not None
                else []
                for each in group
            ]

    async def _read_project(self, number: int) -> Project:
        client = self._client
        if client is None:
            raise FeedbackError("projects need LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY (a token of Label Studio)")
        found = await asyncio.to_thread(client.project, number)
        title = printable(str(found.title or ""), 200)
        project = Project(number, title, printable(str(found.label_config or ""), LONGEST_CONFIG))
        await self._judge.keep_project(project)
        return project

    async def _reconcile(self, project: Project, tasks: Sequence[int]) -> dict[int, Judged | LaterError]:
        """Judge tasks as they are now, by id; one that is not there any more has no annotations."""
        client = self._client
        if client is None:
            return {}
        outcomes: dict[int, Judged | LaterError] = {task: Judged(task, [], [], time.time()) for task in tasks}
        for portion in _portions(tasks):
            read_at = time.time()
            found = await asyncio.to_thread(client.tasks_by_id, project.id, portion)
            for task, outcome in zip(found, await self._judge.judge(found, project, read_at), strict=True):
                outcomes[int(task["id"])] = outcome
        return outcomes

    async def _settle_trusted(self, each: Due) -> None:
        """Settle what an event says itself, without asking Label Studio."""
        if each.kind == "task":  # events about one without a payload say that it is gone
            await self._judge.keep(each.project, [Judged(each.object, [], [], time.time())], [settle(each)])
            return
        if each.kind == "annotation" and not each.payload:
            await self._change(each, lambda connection: forget_annotation(connection, each.project, each.object))
            return
        try:
            annotation, task, label_config = read_payload(each.payload)
            project = Project(each.project, "", printable(label_config, LONGEST_CONFIG))
            whole = task | {"annotations": [annotation]} if annotation else {"id": each.object}
            judged = await self._judge.judge_task(whole, project, {}, time.time(), shown_is_unknown=True)
        except LaterError as error:
            await self._postpone([each], str(error))
            return
        except Exception as error:  # it comes from anybody, and must not hold up all others
            log.warning("event cannot be used", project=each.project, cause=repr(error))
            await self._change(each, lambda _: None)
            return

        def keep(connection: Any) -> None:
            put_project(connection, project)
            for changed in judged.changed:
                put_annotation(connection, changed)

        await self._change(each, keep)

    async def _change(self, each: Due, change: Callable[[Any], None]) -> None:
        def write() -> None:
            with self.database.writing() as connection:
                change(connection)
                connection.execute(settle(each))

        await self._thread.run(write)

    async def _postpone(self, group: Iterable[Due], problem: str) -> None:
        for each in group:
            log.warning("event waits", project=each.project, kind=each.kind, object=each.object, cause=problem)
            await self._thread.run(lambda each=each: postpone(self.database, each, problem))  # type: ignore[misc]

    async def sync(self, number: int, progress: Callable[[int], None] = lambda _: None) -> tuple[int, int, list[str]]:
        """Bring the facts of a project up to date with Label Studio, whatever events came or did not.

        Args:
            number: id of the project.
            progress: is told how many tasks have been gone through.

        Returns:
            How many annotations there are, how many of them were judged now, and why tasks could not be.

        Raises:
            PrelabelError: Label Studio or the database cannot be used; what was done is kept.
        """
        try:
            return await self._sync(number, progress)
        except UncertainError as error:
            raise FeedbackError(f"Label Studio does not answer ({error}); what is done is kept: try again") from None

    async def _sync(self, number: int, progress: Callable[[int], None]) -> tuple[int, int, list[str]]:
        project = await self._read_project(number)
        client = self._client
        if client is None:
            return 0, 0, []
        before = set(await self._thread.run(self._reading(lambda connection: tasks_of_project(connection, number))))
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
            read_at = time.time()
            page = await asyncio.to_thread(lambda: list(itertools.islice(tasks, PAGE)))
            if not page:
                break
            gone_through.update(int(task["id"]) for task in page)
            await keep(await self._judge.judge(page, project, read_at))
            progress(len(gone_through))
        # What lost its annotations, or was skipped since.
        rest = await self._reconcile(project, sorted(before - gone_through))
        await keep(list(rest.values()))
        return there, judged, problems

    async def catch_up(self, number: int) -> list[str]:
        """Judge everything that there is of a project; gives why some of it cannot be.

        Raises:
            PrelabelError: Label Studio or the database cannot be used.
        """
        if self._client is not None:
            _, _, problems = await self.sync(number)
            return problems
        while await self.work_once():
            pass
        waiting, problem = await self._thread.run(lambda: pending(self.database, number))
        return [problem or "events wait"] if waiting else []

    async def state(self) -> dict[str, Any]:
        """Return how it does, as plain JSON values, for people."""
        try:
            waiting, problem = await self._thread.run(lambda: pending(self.database))
        except FeedbackError as error:
            waiting, problem = 0, str(error)
        return {"listens": self.listens, "place": self.database.place, "waiting": waiting, "problem": problem}

    def _reading(self, read: Callable[[Any], list[int]]) -> Callable[[], list[int]]:
        def within() -> list[int]:
            with self.database.reading() as connection:
                return [] if connection is None else read(connection)

        return within


def _place(each: Due) -> int:
    return each.project


def _portions(numbers: Sequence[int]) -> Iterable[list[int]]:
    for start in range(0, len(numbers), PORTION):
        yield list(numbers[start : start + PORTION])
