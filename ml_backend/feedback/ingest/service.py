"""Takes events of Label Studio and turns them into annotation records, in the background of the service."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self

import structlog

from ml_backend.errors import FeedbackError
from ml_backend.feedback.ingest.annotation_builder import AnnotationBuilder
from ml_backend.feedback.ingest.event_processor import EventProcessor
from ml_backend.feedback.ingest.inference_pipeline import InferencePipeline
from ml_backend.feedback.ingest.read_back import ReadBack
from ml_backend.feedback.ingest.trusted_events import TrustedEvents
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.detectors import CurrentDetector, count_outdated, enqueue_outdated, put_detector
from ml_backend.feedback.store.event_queue import EventQueue, next_events, pending
from ml_backend.feedback.store.lead import Lead
from ml_backend.feedback.store.threads import WritingThread
from ml_backend.feedback.store.trainings import last_trainings
from ml_backend.label_studio.client import NO_CLIENT, StudioClient
from ml_backend.label_studio.events import Event, read_event
from ml_backend.settings import Settings

log = structlog.get_logger(__name__)

EVENT_PAUSES = (0.5,)  # seconds before a request to Label Studio is repeated; events can wait, and the client cannot
POLL_SECONDS = 2  # between looks for events of other processes and for postponed ones
BATCH = 100  # objects that are taken from the queue at once
SCAN_SECONDS = 60  # between scans for annotations of another detector
COUNT_SECONDS = 1  # for counting the events that wait, when metrics are asked for
PREPARE_SECONDS = 5  # that a service waits for its tables before it starts without them


@dataclass(frozen=True)
class IngestOptions:
    """Settings of the ingest.

    Attributes:
        trust_events: whether events without a client to read them back are processed by their own payloads.
        holdout_fraction: share of images that are answered without boxes, 0 to 1.
        max_config_length: most characters of the label config in an event.
    """

    trust_events: bool = False
    holdout_fraction: float = 0
    max_config_length: int = 1_000_000

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the options in the settings."""
        return cls(settings.trust_webhooks, settings.holdout_fraction, settings.label_config_max_bytes)


class FeedbackService:
    """Takes events, and processes them in the background.

    Args:
        database: of the corrections.
        pipeline: finds objects in images.
        detector: of the pipeline.
        client: Label Studio, where annotations are read back; None without a token.
        options: see :class:`IngestOptions`.

    Attributes:
        database: as given.
        listens: whether events are processed: they can be read back, or are trusted.
        received: number of events since the start by action, those included that could not be written in time.
    """

    def __init__(
        self,
        database: Database,
        pipeline: InferencePipeline,
        detector: CurrentDetector,
        client: StudioClient | None,
        options: IngestOptions,
    ) -> None:
        self.database = database
        self._detector = detector
        # One thread writes everything: two would compete for SQLite's lock, which is polled.
        self._thread = thread = WritingThread()
        self._queue = EventQueue(database, thread)
        self._lead = Lead(database)
        builder = AnnotationBuilder(pipeline, detector.fingerprint, options.holdout_fraction)
        self._read_back = None if client is None else ReadBack(client, database, thread, builder)
        handler = self._read_back or TrustedEvents(database, thread, builder, options.max_config_length)
        self._processor = EventProcessor(database, thread, handler.process)
        self._trusts_events = client is None and options.trust_events
        self.listens = client is not None or options.trust_events
        self.received: Counter[str] = Counter()
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()
        self._is_named = False
        self._next_scan = 0.0  # of time.monotonic()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Process events while the block lasts."""
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
        """Create the tables before the first event comes, which would be refused meanwhile, and record the current detector."""
        try:
            async with asyncio.timeout(PREPARE_SECONDS):
                await self._thread.run(self._name_detector)
        except Exception as error:  # predictions go on, and the first event tries again
            log.warning("the tables for corrections do not exist yet", cause=str(error) or "the database is slow")

    def _name_detector(self) -> None:
        with self.database.writing() as connection:
            put_detector(connection, self._detector)
        self._is_named = True

    async def close(self) -> None:
        """End the writing thread of a service that did not listen, and leave the lead to another service."""
        await asyncio.to_thread(self._thread.close)
        await asyncio.to_thread(self._lead.close)

    @property
    def leads(self) -> bool:
        """Whether this service, of those that share the database, does what only one may do at a time."""
        return self._lead.is_held

    async def take(self, body: bytes) -> Event:
        """Take an event; when this returns, its changed objects are on the disk.

        Raises:
            FeedbackError: they could not be written in time. They may be, later.
        """
        event = read_event(body, trusted=self._trusts_events)
        self.received[event.action] += 1
        if self.listens and event.changed_objects:
            await self._queue.append(event.changed_objects)
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
                log.warning("events cannot be processed now", cause=str(error))
                await asyncio.sleep(POLL_SECONDS)
            except Exception:
                log.exception("processing events failed unexpectedly")
                await asyncio.sleep(POLL_SECONDS)

    async def work_once(self) -> bool:
        """Process a batch of queued events; returns whether there were any. A service that does not lead leaves them to the one that does.

        Raises:
            FeedbackError: the database cannot be used.
        """
        async with self._turn:
            if not await asyncio.to_thread(self._lead.hold):
                return False
            events = await asyncio.to_thread(next_events, self.database, BATCH)
            await self._processor.process(events)
            # Only when nothing else waits: events that people cause come first.
            return bool(events) or await self._enqueue_outdated()

    async def _enqueue_outdated(self) -> bool:
        """Queue a batch of tasks whose detections are of another detector; returns whether there were any."""
        if time.monotonic() < self._next_scan:
            return False

        def enqueue() -> int:
            if not self._is_named:  # the database was unavailable when the service started
                self._name_detector()
            with self.database.writing() as connection:
                return enqueue_outdated(connection, self._detector.fingerprint, BATCH)

        count = await self._thread.run(enqueue)
        if not count:
            self._next_scan = time.monotonic() + SCAN_SECONDS
        return count > 0

    async def sync(self, number: int, progress: Callable[[int], None] = lambda _: None) -> tuple[int, int, list[str]]:
        """Synchronize the records of a project with Label Studio and this detector; see :meth:`ReadBack.sync`.

        Raises:
            PrelabelError: Label Studio or the database cannot be used.
        """
        if self._read_back is None:
            raise FeedbackError(NO_CLIENT)
        await self._thread.run(self._name_detector)
        return await self._read_back.sync(number, progress)

    async def catch_up(self, number: int) -> list[str]:
        """Process all corrections of a project; returns why some of them cannot be processed.

        Raises:
            PrelabelError: Label Studio or the database cannot be used.
        """
        if self._read_back is not None:
            _, _, problems = await self.sync(number)
            return problems
        while True:
            idle = not await self.work_once()
            waiting, problem = await asyncio.to_thread(pending, self.database, number)
            if not waiting:
                return []
            if idle and (self.leads or problem):
                return [problem or "events wait"]
            if idle:  # another service processes them
                await asyncio.sleep(POLL_SECONDS)

    async def waiting(self) -> float:
        """Return how many changed objects wait to be processed; NaN where the database does not tell within :data:`COUNT_SECONDS`."""
        unwritten = self._queue.unwritten  # read first: rather count an object twice than not at all
        try:
            async with asyncio.timeout(COUNT_SECONDS):
                waiting, _ = await asyncio.to_thread(pending, self.database)
        except (FeedbackError, TimeoutError):
            return math.nan
        return unwritten + waiting

    async def state(self) -> dict[str, Any]:
        """Return queue, detector and last trainings as plain JSON values, for the status page."""
        unwritten = self._queue.unwritten  # read first: rather count an object twice than not at all
        values: dict[str, Any] = {"listens": self.listens, "place": self.database.place}
        values |= {
            "waiting": unwritten,
            "problem": "",
            "detector": self._detector.fingerprint,
            "outdated": 0,
            "trainings": [],
        }

        def read() -> dict[str, Any]:
            self.database.check_writable()
            waiting, problem = pending(self.database)
            with self.database.reading() as connection:
                if connection is None:
                    return {}
                trainings = [training.to_json() for training in last_trainings(connection)]
                outdated = count_outdated(connection)
            return {"waiting": unwritten + waiting, "problem": problem, "outdated": outdated, "trainings": trainings}

        try:
            return values | await asyncio.to_thread(read)
        except FeedbackError as error:
            return values | {"problem": str(error)}
