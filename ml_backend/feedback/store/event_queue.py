"""The queue of events: on the disk before they are answered, and written together where many come at once."""

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

MAX_WAITING = 20_000  # changed objects in memory that are not on the disk
MAX_BYTES = 200_000_000  # of their payloads
# Label Studio saves an annotation only after the answer, and ignores what it says. Events that are refused after this time are
# written all the same, as soon as the database takes them.
PATIENCE = 0.04  # seconds
MAX_PAUSE = 3600  # seconds between tries


@dataclass(frozen=True, slots=True)
class QueuedEvent:
    """The queued events of one object.

    Attributes:
        kind, project, object: as in a :class:`~ml_backend.label_studio.events.ChangedObject`.
        payload: of the latest event.
        last: id of the latest event; events that come while it is processed have higher ids, and stay.
        tries: how often processing was tried before.
    """

    kind: Kind
    project: int
    object: int
    payload: bytes
    last: int
    tries: int


class EventQueue:
    """Writes events into the database.

    Args:
        database: of the corrections.
        thread: the one that writes to it.

    Attributes:
        unwritten: number of appended objects that are not on the disk yet.
    """

    def __init__(self, database: Database, thread: WritingThread) -> None:
        self._database = database
        self._thread = thread
        self._waiting: list[tuple[Sequence[ChangedObject], asyncio.Future[None]]] = []
        self.unwritten = self._bytes = 0  # objects that are not on the disk, and their payloads
        self.writing: asyncio.Task[None] | None = None

    async def append(self, changed: Sequence[ChangedObject]) -> None:
        """Write changed objects; when this returns they are on the disk.

        Raises:
            FeedbackError: they could not be written in time. They may be, later.
        """
        if not changed:
            return
        if self.unwritten > MAX_WAITING or self._bytes > MAX_BYTES:
            raise FeedbackError("too many events wait for the database; `prelabel feedback sync` catches up")
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        written.add_done_callback(_retrieve)
        self._waiting.append((changed, written))
        self.unwritten += len(changed)
        self._bytes += sum(len(each.payload) for each in changed)
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
                try:
                    await self._thread.run(partial(self._insert, batch))
                except Exception as error:
                    for _, written in batch:
                        written.set_exception(error)
                else:
                    for _, written in batch:
                        written.set_result(None)
                finally:
                    self.unwritten -= sum(len(changed) for changed, _ in batch)
                    self._bytes -= sum(len(each.payload) for changed, _ in batch for each in changed)
        finally:
            self.writing = None

    def _insert(self, batch: Sequence[tuple[Sequence[ChangedObject], object]]) -> None:
        with self._database.writing() as connection:
            received_at = now(connection)
            rows = [
                {
                    "kind": each.kind,
                    "project": each.project,
                    "object": each.object,
                    "payload": each.payload or None,
                    "received_at": received_at,
                    "due_at": received_at,
                    "tries": 0,
                    "problem": "",
                }
                for changed, _ in batch
                for each in changed
            ]
            connection.execute(insert(events), rows)

    async def drain(self) -> None:
        """Wait until all appended objects are written or refused."""
        while self.writing is not None:
            await asyncio.wait([self.writing])


def next_events(database: Database, limit: int) -> list[QueuedEvent]:
    """Return the events to process now, one for each object, the longest waiting first."""
    with database.reading() as connection:
        if connection is None:
            return []
        columns = (events.c.kind, events.c.project, events.c.object)
        latest = (
            select(
                *columns,
                func.max(events.c.id).label("last"),
                func.max(events.c.tries).label("tries"),
                func.min(events.c.due_at).label("since"),
            )
            .where(events.c.due_at <= now(connection))
            .group_by(*columns)
            .order_by(func.min(events.c.due_at), func.min(events.c.id))
            .limit(limit)
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
    """Return how many events wait to be processed, and why the latest one that failed did; empty for none."""
    with database.reading() as connection:
        if connection is None:
            return 0, ""
        whose = events.c.project == project if project is not None else events.c.id > 0
        count = connection.execute(select(func.count()).select_from(events).where(whose)).scalar_one()
        problem = connection.execute(
            select(events.c.problem).where(whose, events.c.problem != "").order_by(events.c.id.desc()).limit(1)
        ).scalar()
        return count, problem or ""


def delete_processed(event: QueuedEvent) -> Delete:
    """Return the statement that deletes the events of an object; run it in the transaction that keeps the records."""
    return delete(events).where(_of_object(event))


def postpone(database: Database, failed: Sequence[QueuedEvent], problem: str) -> None:
    """Postpone the events of objects, each time for twice as long."""
    with database.writing() as connection:
        at = now(connection)
        for each in failed:
            due_at = at + min(MAX_PAUSE, 2.0 ** min(each.tries, 20))
            values = {"due_at": due_at, "tries": each.tries + 1, "problem": storable(problem, 1000)}
            connection.execute(update(events).where(_of_object(each)).values(values))


def _of_object(event: QueuedEvent) -> ColumnElement[bool]:
    return and_(
        events.c.kind == event.kind,
        events.c.project == event.project,
        events.c.object == event.object,
        events.c.id <= event.last,
    )


def _retrieve(future: asyncio.Future[None]) -> None:
    if not future.cancelled():
        future.exception()  # or asyncio would log it where the caller has gone
