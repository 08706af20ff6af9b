"""Events that wait: in which order, how long, and what of them is forgotten when."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from waiting import until

from ml_backend.errors import FeedbackError
from ml_backend.feedback.store import event_queue as module
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.event_queue import EventQueue, delete_processed, next_events, pending, postpone
from ml_backend.feedback.store.threads import WritingThread
from ml_backend.label_studio.events import ChangedObject


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a slow disk be slow."""
    monkeypatch.setattr(module, "PATIENCE", 60)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Give an empty database."""
    with closing(Database(database_url)) as opened:
        yield opened


@pytest.fixture
def queue(database: Database) -> Iterator[EventQueue]:
    """Give its queue."""
    thread = WritingThread()
    yield EventQueue(database, thread)
    thread.close()


async def test_events_of_an_object_are_one_with_the_last_payload(database: Database, queue: EventQueue) -> None:
    """Ten updates are processed together."""
    for number in range(10):
        await queue.append([ChangedObject("annotation", 3, 7, f"{number}".encode())])
    (only,) = next_events(database, 100)
    assert (only.kind, only.project, only.object, only.payload, only.tries) == ("annotation", 3, 7, b"9", 0)


async def test_event_that_comes_during_processing_stays(database: Database, queue: EventQueue) -> None:
    """Only events from before are deleted."""
    await queue.append([ChangedObject("task", 3, 7)])
    (begun,) = next_events(database, 100)
    await queue.append([ChangedObject("task", 3, 7)])
    with database.writing() as connection:
        connection.execute(delete_processed(begun))
    (later,) = next_events(database, 100)
    assert later.last > begun.last


async def test_postponed_events_wait_behind_new_ones(database: Database, queue: EventQueue) -> None:
    """Pictures of a host that is away must not hold up all others when their time has come."""
    await queue.append([ChangedObject("task", 3, number) for number in range(1, 4)])
    postpone(database, next_events(database, 100), "away")
    assert next_events(database, 100) == []
    assert pending(database, 3) == (3, "away")
    await queue.append([ChangedObject("task", 3, 9)])
    await until(lambda: len(next_events(database, 100)) == 4)
    assert [each.object for each in next_events(database, 100)] == [9, 1, 2, 3]


async def test_pauses_double(database: Database, queue: EventQueue) -> None:
    """To an hour at most."""
    await queue.append([ChangedObject("task", 3, 1)])
    (each,) = next_events(database, 1)
    for tries, pause in ((0, 1), (3, 8), (11, 2048), (12, 3600), (10_000, 3600)):
        began = time.time()
        postpone(database, [each.__class__("task", 3, 1, b"", each.last, tries)], "away")
        with database.reading() as connection:
            assert connection is not None
            when = connection.exec_driver_sql("SELECT due_at FROM prelabel_events").scalar_one()
        assert began + pause <= when <= time.time() + pause


async def test_many_are_written_together(database: Database, queue: EventQueue) -> None:
    """Each is on the disk when its own append returns."""
    await asyncio.gather(*(queue.append([ChangedObject("task", 3, number)]) for number in range(1, 501)))
    assert pending(database) == (500, "")


async def test_one_large_event_is_taken(database: Database, queue: EventQueue) -> None:
    """Deleting 25,000 tasks is one event."""
    await queue.append([ChangedObject("task", 3, number) for number in range(1, 25_001)])
    assert pending(database, 3) == (25_000, "")


async def test_memory_is_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the database hangs, events are refused once enough of them wait, by number or by bytes."""

    class Stuck(WritingThread):
        async def run(self, work: object) -> None:  # type: ignore[override]
            await asyncio.sleep(60)

    monkeypatch.setattr(module, "PATIENCE", 0.01)
    for changed, most in (
        (ChangedObject("task", 3, 1), module.MAX_WAITING),
        (ChangedObject("task", 3, 1, bytes(50_000_000)), 4),
    ):
        thread = Stuck()
        queue = EventQueue(database, thread)
        with pytest.raises(FeedbackError, match="in time"):
            await queue.append([changed])  # is being written, for ever
        with pytest.raises(FeedbackError, match="in time"):
            await queue.append([changed] * (most + 1))
        with pytest.raises(FeedbackError, match="too many"):
            await queue.append([changed])
        assert queue.writing is not None
        queue.writing.cancel()
        thread.close()
