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
from ml_backend.feedback.store.event_queue import EventQueue, due, pending, postpone, settle
from ml_backend.feedback.store.threads import WritingThread
from ml_backend.label_studio.events import ChangedObject
from ml_backend.settings import Settings


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a slow disk be slow."""
    monkeypatch.setattr(module, "PATIENCE", 20)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Give an empty database."""
    with closing(Database(Settings(database_url=database_url))) as opened:
        yield opened


@pytest.fixture
def journal(database: Database) -> Iterator[EventQueue]:
    """Give its journal."""
    thread = WritingThread()
    yield EventQueue(database, thread)
    thread.close()


async def test_an_object_is_due_once_with_what_was_said_last(database: Database, journal: EventQueue) -> None:
    """Ten updates are one thing to look at."""
    for number in range(10):
        await journal.append([ChangedObject("annotation", 3, 7, f"{number}".encode())])
    (only,) = due(database, 100)
    assert (only.kind, only.project, only.object, only.payload, only.tries) == ("annotation", 3, 7, b"9", 0)


async def test_what_comes_while_an_object_is_judged_stays(database: Database, journal: EventQueue) -> None:
    """Settling takes away what was known when the judging began."""
    await journal.append([ChangedObject("task", 3, 7)])
    (begun,) = due(database, 100)
    await journal.append([ChangedObject("task", 3, 7)])
    with database.writing() as connection:
        connection.execute(settle(begun))
    (later,) = due(database, 100)
    assert later.last > begun.last


async def test_what_failed_waits_behind_what_is_new(database: Database, journal: EventQueue) -> None:
    """Pictures of a host that is away must not hold up all others when their time has come."""
    await journal.append([ChangedObject("task", 3, number) for number in range(1, 4)])
    postpone(database, due(database, 100), "away")
    assert due(database, 100) == []
    assert pending(database, 3) == (3, "away")
    await journal.append([ChangedObject("task", 3, 9)])
    await until(lambda: len(due(database, 100)) == 4)
    assert [each.object for each in due(database, 100)] == [9, 1, 2, 3]


async def test_pauses_double(database: Database, journal: EventQueue) -> None:
    """To an hour at most."""
    await journal.append([ChangedObject("task", 3, 1)])
    (each,) = due(database, 1)
    for tries, pause in ((0, 1), (3, 8), (11, 2048), (12, 3600), (10_000, 3600)):
        began = time.time()
        postpone(database, [each.__class__("task", 3, 1, b"", each.last, tries)], "away")
        with database.reading() as connection:
            assert connection is not None
            when = connection.exec_driver_sql("SELECT due_at FROM prelabel_events").scalar_one()
        assert began + pause <= when <= time.time() + pause


async def test_many_are_written_together(database: Database, journal: EventQueue) -> None:
    """Each is on the disk when its own append returns."""
    await asyncio.gather(*(journal.append([ChangedObject("task", 3, number)]) for number in range(1, 501)))
    assert pending(database) == (500, "")


async def test_one_large_event_is_taken(database: Database, journal: EventQueue) -> None:
    """Deleting 25,000 tasks is one event."""
    await journal.append([ChangedObject("task", 3, number) for number in range(1, 25_001)])
    assert pending(database, 3) == (25_000, "")


async def test_memory_is_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the database hangs, events are refused once enough of them wait, by number or by bytes."""

    class Stuck(WritingThread):
        async def run(self, work: object) -> None:  # type: ignore[override]
            await asyncio.sleep(60)

    monkeypatch.setattr(module, "PATIENCE", 0.01)
    for hint, most in (
        (ChangedObject("task", 3, 1), module.MAX_WAITING),
        (ChangedObject("task", 3, 1, bytes(50_000_000)), 4),
    ):
        thread = Stuck()
        journal = EventQueue(database, thread)
        with pytest.raises(FeedbackError, match="in time"):
            await journal.append([hint])  # is being written, for ever
        with pytest.raises(FeedbackError, match="in time"):
            await journal.append([hint] * (most + 1))
        with pytest.raises(FeedbackError, match="too many"):
            await journal.append([hint])
        assert journal.writing is not None
        journal.writing.cancel()
        thread.close()
