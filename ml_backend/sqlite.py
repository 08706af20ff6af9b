"""SQLite files of Prelabel: a write-ahead log, explicit transactions, and no write to another program's database."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Literal

NO_PRAGMAS: Mapping[str, str | int] = MappingProxyType({})


class ForeignDatabaseError(Exception):
    """The file is another program's database."""


def connect(
    path: Path,
    application: int,
    *,
    synchronous: Literal["NORMAL", "FULL"] = "NORMAL",
    timeout: float = 5,
    check_same_thread: bool = True,
    new_file: Mapping[str, str | int] = NO_PRAGMAS,
) -> sqlite3.Connection:
    """Open a database in autocommit mode; create it where there is none.

    Args:
        path: of the file.
        application: the ``application_id`` in the file's header (https://sqlite.org/pragma.html#pragma_application_id).
        synchronous: with NORMAL, a power cut can cost the latest transactions, but never the file.
        timeout: seconds to wait while another process holds the file.
        check_same_thread: whether only the thread that opened the connection may use it.
        new_file: pragmas that take effect in a new file only, such as ``page_size``.

    Raises:
        ForeignDatabaseError: the file has tables and another ``application_id``. It is unchanged.
        sqlite3.Error: the file cannot be opened, or is no database.
    """
    database = sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=check_same_thread)
    try:
        if _is_new(database, application):
            for name, value in {**new_file, "application_id": application}.items():
                database.execute(f"PRAGMA {name} = {value}")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(f"PRAGMA synchronous = {synchronous}")
    except BaseException:
        database.close()
        raise
    return database


def _is_new(database: sqlite3.Connection, application: int) -> bool:
    with transaction(database, "BEGIN"):  # one view of both, whatever other processes do meanwhile
        (tables,) = database.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()
        (found,) = database.execute("PRAGMA application_id").fetchone()
    if tables and found != application:
        raise ForeignDatabaseError("the file is another program's database")
    return not tables


def connect_read_only(path: Path, *, timeout: float) -> closing[sqlite3.Connection]:
    """Open an existing database for reading, beside the process that writes it; closed at the end of the ``with`` block."""
    return closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=timeout))


@contextmanager
def transaction(database: sqlite3.Connection, begin: str = "BEGIN IMMEDIATE") -> Iterator[None]:
    """Commit the statements of a ``with`` block together, or roll all of them back after an error."""
    database.execute(begin)
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:  # SQLite has rolled back by itself after a full disk
            database.execute("ROLLBACK")
        raise
