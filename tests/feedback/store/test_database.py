"""Both databases keep corrections safely."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from postgres_server import PostgresServer
from sqlalchemy import Connection, func, insert, select, text

from ml_backend.errors import FeedbackError
from ml_backend.feedback.store import event_queue
from ml_backend.feedback.store.annotation_records import put_task
from ml_backend.feedback.store.database import Database, now, storable, upsert
from ml_backend.feedback.store.event_queue import EventQueue, pending
from ml_backend.feedback.store.projects import Project, get_project, put_project
from ml_backend.feedback.store.tables import events, projects, tasks
from ml_backend.feedback.store.threads import WritingThread
from ml_backend.label_studio.events import ChangedObject
from ml_backend.settings import Settings

EVENT = {"kind": "task", "project": 1, "object": 1, "received_at": 1, "due_at": 1, "tries": 0, "problem": ""}


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Give an empty database."""
    with closing(Database(database_url)) as opened:
        yield opened


def count(connection: Connection | None) -> int:
    """Return how many events there are."""
    assert connection is not None
    return int(connection.execute(select(func.count()).select_from(events)).scalar_one())


def test_nothing_is_read_before_something_was_written(database: Database) -> None:
    """Reading creates no tables: a user with read access can make a report."""
    with database.reading() as connection:
        assert connection is None


def test_readers_see_one_state(database: Database) -> None:
    """A calibration goes through the annotations twice, while others are kept."""
    with database.writing() as connection:
        connection.execute(insert(events), [EVENT])
    with database.reading() as reader:
        assert count(reader) == 1
        with database.writing() as writer:
            writer.execute(insert(events), [EVENT])
        assert count(reader) == 1
    with database.reading() as reader:
        assert count(reader) == 2


def test_what_fails_leaves_nothing(database: Database) -> None:
    """A transaction is all or nothing."""

    def write(*, fail: bool) -> None:
        with database.writing() as connection:
            connection.execute(insert(events), [EVENT])
            if fail:
                raise KeyError

    write(fail=False)
    with pytest.raises(KeyError):
        write(fail=True)
    with database.reading() as connection:
        assert count(connection) == 1


def test_tables_can_be_made_by_many_at_once(database_url: str) -> None:
    """Services that share a database start together."""
    errors: list[Exception] = []

    def write() -> None:
        try:
            with closing(Database(database_url)) as own, own.writing() as connection:
                connection.execute(insert(events), [EVENT])
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with closing(Database(database_url)) as own, own.reading() as connection:
        assert count(connection) == 8


@pytest.mark.parametrize("closed_first", [False, True], ids=["in use while it is closed", "opened after that"])
def test_closed_database_leaves_no_connection_open(database: Database, closed_first: bool) -> None:
    """A service closes it while a thread may still read."""
    database.prepare()
    if closed_first:
        database.close()
    with database.reading() as connection:
        if not closed_first:
            database.close()
        assert count(connection) == 0
        driver = connection.connection.driver_connection if connection is not None else None
    assert driver is not None
    with pytest.raises(driver.Error):
        driver.cursor()


def test_connection_to_a_file_that_was_taken_away_is_closed(tmp_path: Path) -> None:
    """By the thread that uses it while another one makes the file anew."""
    file = tmp_path / "feedback.sqlite3"
    with closing(Database(f"sqlite:///{file}")) as database:
        database.prepare()
        with database.reading() as connection:
            assert connection is not None
            driver = connection.connection.driver_connection
            file.unlink()
            database.prepare()
    assert driver is not None
    with pytest.raises(driver.Error):
        driver.cursor()


@pytest.fixture
def _ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process be on a machine whose clock is an hour ahead."""
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600)
    monkeypatch.setattr(event_queue, "PATIENCE", 20)  # a slow disk is tested with the queue


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
@pytest.mark.usefixtures("_ahead")
async def test_clocks_of_services_may_differ(database: Database) -> None:
    """Time is what the database says, or a service that is ahead would keep others from events and from newer states of a task."""
    thread = WritingThread()
    await EventQueue(database, thread).append([ChangedObject("task", 1, 7)])
    thread.close()
    with database.writing() as connection:
        put_task(connection, 1, 7, [], [], now(connection))
        clock = connection.exec_driver_sql("SELECT extract(epoch FROM now())").scalar_one()
        (received, due) = connection.execute(select(events.c.received_at, events.c.due_at)).one()
        (read,) = connection.execute(select(tasks.c.read_at)).one()
    assert [abs(float(clock) - moment) < 60 for moment in (received, due, read, database.now())] == [True] * 4


@pytest.mark.parametrize(("second", "kept"), [(5, 5), (4, 4), (3, 4)], ids=["newer", "as old", "older"])
def test_what_is_newer_stays(database: Database, second: int, kept: int) -> None:
    """In any order, and during other writes."""
    for value in (4, second):
        with database.writing() as connection:
            upsert(
                connection,
                projects,
                {"id": value_of(value), "title": str(value), "label_config": ""},
                unless_newer="title",
            )
    with database.reading() as connection:
        assert get_project(connection, 1, database.place).title == str(kept)


def value_of(_: int) -> int:
    """Return the id that all rows of the test have."""
    return 1


@pytest.mark.parametrize(
    "text",
    ["nothing odd", "a\0b", "\ud800", "é" * 10_000_000],
    ids=["plain", "NUL, which Postgres has no text for", "half a surrogate pair", "endless"],
)
def test_any_text_can_be_kept(database: Database, text: str) -> None:
    """Titles and label configs come from outside."""
    with database.writing() as connection:
        put_project(connection, Project(1, text, text))
    with database.reading() as connection:
        assert get_project(connection, 1, database.place).title == storable(text, 200)


def test_title_stays_where_events_do_not_say_it(database: Database) -> None:
    """Only Label Studio itself knows it."""
    for project in (Project(1, "Photographs", "old"), Project(1, "", "new")):
        with database.writing() as connection:
            put_project(connection, project)
    with database.reading() as connection:
        assert get_project(connection, 1, database.place) == Project(1, "Photographs", "new")


@pytest.mark.parametrize(
    "settings",
    [
        {"database_url": "postgresql://me@127.0.0.1:9/nothing"},
        {"database_url": "sqlite:////proc/nope/feedback.sqlite3"},
    ],
    ids=["nobody listens", "no folder"],
)
def test_database_that_is_not_there_is_told_without_its_password(settings: dict[str, Any]) -> None:
    """One sentence that names the place."""
    with (
        closing(Database(Settings(**settings).database_address)) as away,
        pytest.raises(FeedbackError, match="cannot be used"),
        away.writing(),
    ):
        pass


def test_passwords_are_not_shown() -> None:
    """The place stands on the status page."""
    with closing(Database(Settings(database_url="postgres://me:secret@host/name").database_address)) as database:
        assert database.place == "postgresql+psycopg://host/name"


def test_database_without_an_encoding_gives_texts(postgres: PostgresServer) -> None:
    """Postgres makes such ones where the machine has no locale; its driver then gives bytes, unless an encoding is asked for."""
    address = postgres.new_database("ENCODING SQL_ASCII TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    with closing(Database(Settings(database_url=address).database_address)) as database:
        assert pending(database) == (0, "")
        database.prepare()
        with database.reading() as connection:
            assert connection is not None
            assert connection.execute(text("SELECT 'Müll'")).scalar_one() == "Müll"
