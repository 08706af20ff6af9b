"""The part of the service that listens: events in, facts out, and Start Training."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog

from ml_backend.errors import FeedbackError
from ml_backend.feedback.database import Database
from ml_backend.feedback.events import Event, read_event
from ml_backend.feedback.journal import Journal, due, pending
from ml_backend.feedback.settling import Settler
from ml_backend.feedback.threads import WritingThread
from ml_backend.pipeline import Pipeline
from ml_backend.settings import Settings

log = structlog.get_logger(__name__)

POLL_SECONDS = 2  # after which events of another process, and those that failed before, are looked for
TAKEN = 100  # objects that are taken out of the journal at once
PREPARE_SECONDS = 5  # that a service waits for its tables before it starts without them


class Listener:
    """Takes events and makes facts of them.

    Args:
        settings: as for the service.
        pipeline: entered.
    """

    def __init__(self, settings: Settings, pipeline: Pipeline) -> None:
        self.database = Database(settings)
        self._thread = WritingThread()
        # One thread writes everything: two would wait for SQLite's lock, which is had by asking again and again.
        self._journal = Journal(self.database, self._thread)
        self._turn = asyncio.Lock()
        self._settler = Settler(settings, pipeline, self.database, self._thread)
        self._wake = asyncio.Event()

    @property
    def listens(self) -> bool:
        """Whether events count: they can be read back, or are trusted."""
        return self._settler.client is not None or self._settler.trusted

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Judge what comes in while the block lasts."""
        working = None
        try:
            if self.listens:
                await self._prepare()
                working = asyncio.create_task(self._work())
            yield
        finally:
            if working is not None:
                working.cancel()
                with suppress(asyncio.CancelledError):
                    await working
            await self._journal.drain()
            await self.close()

    async def _prepare(self) -> None:
        """Make the tables before the first event comes, which would be refused while that goes on."""
        try:
            async with asyncio.timeout(PREPARE_SECONDS):
                await self._thread.run(self.database.prepare)
        except Exception as error:  # whatever it is, predictions go on, and an event tries again
            log.warning("the tables for corrections are not there yet", cause=str(error) or "the database is slow")

    async def close(self) -> None:
        """Let go of the database, for those who did not listen."""
        await asyncio.to_thread(self._thread.close)
        self.database.close()

    async def take(self, body: bytes) -> Event:
        """Take an event; when this returns, what it hints at is on the disk.

        Raises:
            FeedbackError: it could not be written.
        """
        event = read_event(body, trusted=self._settler.trusted)
        if self.listens and event.hints:
            await self._journal.append(event.hints)
            self._wake.set()
        return event

    async def _work(self) -> None:
        while True:
            with suppress(TimeoutError):
                # Not wait_for, which before Python 3.12 can swallow the cancellation that ends this.
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wake.wait()
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
        async with self._turn:
            waiting = await asyncio.to_thread(due, self.database, TAKEN)
            await self._settler.settle(waiting)
            return bool(waiting)

    async def sync(self, number: int, progress: Callable[[int], None] = lambda _: None) -> tuple[int, int, list[str]]:
        """Bring the facts of a project up to date with Label Studio; see :meth:`Settler.sync`."""
        return await self._settler.sync(number, progress)

    async def catch_up(self, number: int) -> list[str]:
        """Judge everything that there is of a project; gives why some of it cannot be.

        Raises:
            PrelabelError: Label Studio or the database cannot be used.
        """
        if self._settler.client is not None:
            _, _, problems = await self.sync(number)
            return problems
        waiting, problem = await asyncio.to_thread(pending, self.database, number)
        while waiting and await self.work_once():
            waiting, problem = await asyncio.to_thread(pending, self.database, number)
        return [problem or "events wait"] if waiting else []

    async def state(self) -> dict[str, Any]:
        """Return how it does, as plain JSON values, for people."""
        try:
            waiting, problem = await asyncio.to_thread(pending, self.database)
        except FeedbackError as error:
            waiting, problem = 0, str(error)
        return {"listens": self.listens, "place": self.database.place, "waiting": waiting, "problem": problem}
