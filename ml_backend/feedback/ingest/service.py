"""The part of the service that listens: events in, facts out, and Start Training."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog

from ml_backend.errors import FeedbackError
from ml_backend.feedback.ingest.event_processor import EventProcessor
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.detectors import CurrentDetector, count_outdated, enqueue_outdated, put_detector
from ml_backend.feedback.store.event_queue import EventQueue, due, pending
from ml_backend.feedback.store.threads import WritingThread
from ml_backend.feedback.store.trainings import last_trainings
from ml_backend.label_studio.events import Event, read_event
from ml_backend.pipeline.prediction import Pipeline
from ml_backend.settings import Settings

log = structlog.get_logger(__name__)

POLL_SECONDS = 2  # after which events of another process, and those that failed before, are looked for
TAKEN = 100  # objects that are taken out of the journal at once
SCAN_SECONDS = 60  # after which annotations of another detector are looked for again
PREPARE_SECONDS = 5  # that a service waits for its tables before it starts without them


class FeedbackService:
    """Takes events and makes facts of them.

    Args:
        settings: as for the service.
        pipeline: entered.
    """

    def __init__(self, settings: Settings, pipeline: Pipeline) -> None:
        self.database = Database(settings)
        self._thread = WritingThread()
        # One thread writes everything: two would wait for SQLite's lock, which is had by asking again and again.
        self._queue = EventQueue(self.database, self._thread)
        self._turn = asyncio.Lock()
        self._processor = EventProcessor(settings, pipeline, self.database, self._thread)
        self._wake = asyncio.Event()
        self.detector = CurrentDetector(pipeline.detector.fingerprint[:8], pipeline.detector.name)
        self._is_named = False
        self._next_scan = 0.0  # of time.monotonic()

    @property
    def listens(self) -> bool:
        """Whether events count: they can be read back, or are trusted."""
        return self._processor.client is not None or self._processor.trusted

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
            await self._queue.drain()
            await self.close()

    async def _prepare(self) -> None:
        """Make the tables before the first event comes, which would be refused while that goes on, and name the detector in them."""
        try:
            async with asyncio.timeout(PREPARE_SECONDS):
                await self._thread.run(self._name_detector)
        except Exception as error:  # whatever it is, predictions go on, and an event tries again
            log.warning("the tables for corrections are not there yet", cause=str(error) or "the database is slow")

    def _name_detector(self) -> None:
        with self.database.writing() as connection:
            put_detector(connection, self.detector)
        self._is_named = True

    async def close(self) -> None:
        """Let go of the database, for those who did not listen."""
        await asyncio.to_thread(self._thread.close)
        self.database.close()

    async def take(self, body: bytes) -> Event:
        """Take an event; when this returns, what it hints at is on the disk.

        Raises:
            FeedbackError: it could not be written.
        """
        event = read_event(body, trusted=self._processor.trusted)
        if self.listens and event.hints:
            await self._queue.append(event.hints)
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
            await self._processor.settle(waiting)
            # Only when nothing else is due: events that people cause come first.
            return bool(waiting) or await self._enqueue_outdated()

    async def _enqueue_outdated(self) -> bool:
        """Put a portion of the annotations that another detector has looked at into the journal; tells whether there was any."""
        if time.monotonic() < self._next_scan:
            return False

        def enqueue() -> int:
            if not self._is_named:  # the database was away when the service started
                self._name_detector()
            with self.database.writing() as connection:
                return enqueue_outdated(connection, self.detector.fingerprint, TAKEN)

        count = await self._thread.run(enqueue)
        if not count:
            self._next_scan = time.monotonic() + SCAN_SECONDS
        return count > 0

    async def sync(self, number: int, progress: Callable[[int], None] = lambda _: None) -> tuple[int, int, list[str]]:
        """Bring the facts of a project up to date with Label Studio and this detector; see :meth:`EventProcessor.sync`."""
        await self._thread.run(self._name_detector)
        return await self._processor.sync(number, progress)

    async def catch_up(self, number: int) -> list[str]:
        """Judge everything that there is of a project; gives why some of it cannot be.

        Raises:
            PrelabelError: Label Studio or the database cannot be used.
        """
        if self._processor.client is not None:
            _, _, problems = await self.sync(number)
            return problems
        waiting, problem = await asyncio.to_thread(pending, self.database, number)
        while waiting and await self.work_once():
            waiting, problem = await asyncio.to_thread(pending, self.database, number)
        return [problem or "events wait"] if waiting else []

    async def state(self) -> dict[str, Any]:
        """Return how it does, as plain JSON values, for people."""
        values: dict[str, Any] = {"listens": self.listens, "place": self.database.place}
        values |= {"waiting": 0, "problem": "", "detector": self.detector.fingerprint, "outdated": 0, "trainings": []}

        def read() -> dict[str, Any]:
            waiting, problem = pending(self.database)
            with self.database.reading() as connection:
                if connection is None:
                    return {}
                trainings = [training.to_json() for training in last_trainings(connection)]
                outdated = count_outdated(connection)
            return {"waiting": waiting, "problem": problem, "outdated": outdated, "trainings": trainings}

        try:
            return values | await asyncio.to_thread(read)
        except FeedbackError as error:
            return values | {"problem": str(error)}
