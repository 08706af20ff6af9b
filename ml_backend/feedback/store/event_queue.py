"""Events that have come and are not judged yet: durable before they are answered, and together where many come at once."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import ColumnElement, Delete, and_, delete, func, insert, select, update

from ml_backend.errors import FeedbackError
from ml_backend.feedback.store.database import Database, now, storable
from ml_backend.feedback.store.tables import events
from ml_backend.feedback.store.threads import WritingThread
from ml_backend.label_studio.events import ChangedObject, Kind

MAX_WAITING = 20_000  # hints in memory that are not on the disk
MAX_BYTES = 200_000_000  # of their payloads
# Label Studio saves an annotation while it waits for the answer, and does nothing with it: whoever is refused after this time is
# written all the same, as soon as the database takes it.
PATIENCE = 0.04  # seconds
MAX_PAUSE = 3600  # seconds between tries


@dataclass(frozen=True, slots=True)
class QueuedEvent:
    """An object that events are about.

    Attributes:
        kind, project, object: as in a :class:`~ml_backend.label_studio.events.ChangedObject`.
        payload: of the latest event.
        last: id of the latest event; those that come while it is judged have higher ones, and stay.
        tries: how often it was tried before.
    """

    kind: Kind
    project: int
    object: int
    payload: bytes
    last: int
    tries: int


class EventQueue:
    """The events of a database.

    Args:
        database: where they are kept.
        thread: the one that writes.
    """

    def __init__(self, database: Database, thread: WritingThread) -> None:
        self._database = database
        self._thread = thread
        self._waiting: list[tuple[Sequence[ChangedObject], asyncio.Future[None]]] = []
        self._changed_objects = self._bytes = 0  # that wait
        self.writing: asyncio.Task[None] | None = None

    async def append(self, hints: Sequence[ChangedObject]) -> None:
        """Write hints; when this returns they are on the disk.

        Raises:
            FeedbackError: they could not be written in time. They may be, later.
        """
        if not hints:
            return
        if self._changed_objects > MAX_WAITING or self._bytes > MAX_BYTES:
            raise FeedbackError("too many events wait for the database; `prelabel feedback sync` catches up")
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        written.add_done_callback(_seen)
        self._waiting.append((hints, written))
        self._changed_objects += len(hints)
        self._bytes += sum(len(hint.payload) for hint in hints)
        if self.writing is None:
            self.writing = asyncio.create_task(self._write_all())
        done, _ = await asyncio.wait([written], timeout=PATIENCE)
        if not done:
            raise FeedbackError("the database did not take the event in time; `prelabel feedback sync` catches up")
        written.result()

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                self._changed_objects = self._bytes = 0
                try:
                    await self._thread.run(partial(self._insert, batch))
                except Exception as error:
                    for _, written in batch:
                        written.set_exception(error)
                else:
                    for _, written in batch:
                        written.set_result(None)
        finally:
            self.writing = None

    def _insert(self, batch: Sequence[tuple[Sequence[ChangedObject], object]]) -> None:
        with self._database.writing() as connection:
            received_at = now(connection)
            rows = [
                {
                    "kind": hint.kind,
                    "project": hint.project,
                    "object": hint.object,
                    "payload": hint.payload or None,
                    "received_at": received_at,
                    "due_at": received_at,
                    "tries": 0,
                    "problem": "",
                }
                for hints, _ in batch
                for hint in hints
            ]
            connection.execute(insert(events), rows)

    async def drain(self) -> None:
        """Wait until everything that was appended is written or refused."""
        while self.writing is not None:
            await asyncio.wait([self.writing])


def due(database: Database, most: int) -> list[QueuedEvent]:
    """Return what is to be looked at now, the longest waiting first, each object once."""
    with database.reading() as connection:
        if connection is None:
            return []
        what = (events.c.kind, events.c.project, events.c.object)
        latest = (
            select(
                *what,
                func.max(events.c.id).label("last"),
                func.max(events.c.tries).label("tries"),
                func.min(events.c.due_at).label("since"),
            )
            .where(events.c.due_at <= now(connection))
            .group_by(*what)
            .order_by(func.min(events.c.due_at), func.min(events.c.id))
            .limit(most)
            .subquery()
        )
        query = (
            select(latest, events.c.payload)
            .join(events, events.c.id == latest.c.last)
            .order_by(latest.c.since, latest.c.last)
        )
        return [
            QueuedEvent(row.kind, row.project, row.object, row.payload or b"", row.last, row.tries)
            for row in connection.execute(query)
        ]


def pending(database: Database, project: int | None = None) -> tuple[int, str]:
    """Return how many events wait to be judged, and why the latest that failed did, or nothing."""
    with database.reading() as connection:
        if connection is None:
            return 0, ""
        whose = events.c.project == project if project is not None else events.c.id > 0
        count = connection.execute(select(func.count()).select_from(events).where(whose)).scalar_one()
        problem = connection.execute(
            select(events.c.problem).where(whose, events.c.problem != "").order_by(events.c.id.desc()).limit(1)
        ).scalar()
        return count, problem or ""


def settle(done: QueuedEvent) -> Delete:
    """Return the statement that takes an object's events out of the journal; run it in the transaction that keeps the facts."""
    return delete(events).where(_about(done))


def postpone(database: Database, failed: Sequence[QueuedEvent], problem: str) -> None:
    """Let objects be tried again later, each time after twice as long."""
    with database.writing() as connection:
        at = now(connection)
        for each in failed:
            due_at = at + min(MAX_PAUSE, 2.0 ** min(each.tries, 20))
            values = {"due_at": due_at, "tries": each.tries + 1, "problem": storable(problem, 1000)}
            connection.execute(update(events).where(_about(each)).values(values))


def _about(what: QueuedEvent) -> ColumnElement[bool]:
    return and_(
        events.c.kind == what.kind,
        events.c.project == what.project,
        events.c.object == what.object,
        events.c.id <= what.last,
    )


def _seen(future: asyncio.Future[None]) -> None:
    if not future.cancelled():
        future.exception()  # whoever waited may have gone
