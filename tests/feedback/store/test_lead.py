"""One of the services that share a Postgres leads, and another one as soon as it cannot any more."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg
import pytest
from postgres_server import PostgresServer
from waiting import wait_until

from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.lead import Lead


@pytest.fixture
def address(postgres: PostgresServer) -> str:
    """Give the address of an empty Postgres database."""
    return postgres.new_database()


@pytest.fixture
def service(address: str) -> Iterator[Callable[[], Lead]]:
    """Give a function that makes the lead of a further service, with connections of its own."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(closing(Lead(stack.enter_context(closing(Database(address))))))


def test_one_leads(service: Callable[[], Lead]) -> None:
    """The first one, as long as it likes."""
    first, second = service(), service()
    assert not first.is_held, "nobody has looked"
    assert [first.hold(), second.hold(), first.hold(), second.hold()] == [True, False, True, False]
    assert (first.is_held, second.is_held) == (True, False)


def test_service_that_ends_leaves_the_lead(service: Callable[[], Lead]) -> None:
    """To the next one that looks; and it does not take it again while it ends."""
    first, second = service(), service()
    assert first.hold()
    first.close()
    assert not first.hold()
    assert second.hold()


def test_lead_ends_with_its_connection(service: Callable[[], Lead], address: str) -> None:
    """A killed service, a network that went away or a restarted Postgres: another service leads, and the first one learns of it."""
    first, second = service(), service()
    assert first.hold()
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
    wait_until(second.hold)
    assert not first.hold()
    assert not first.is_held


def test_each_process_leads_on_a_file(tmp_path: Path) -> None:
    """SQLite has no such locks; what several processes then do twice has the same result."""
    with (
        closing(Database(f"sqlite:///{tmp_path / 'feedback.sqlite3'}")) as database,
        closing(Lead(database)) as first,
        closing(Lead(database)) as second,
    ):
        assert first.is_held
        assert first.hold()
        assert second.hold()
