"""The database of corrections: SQLite or Postgres. Unlike a cache, its contents must not be lost."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, func, inspect, make_url, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from ml_backend.errors import FeedbackError
from ml_backend.feedback.store.schema import NewerSchemaError, upgrade
from ml_backend.feedback.store.tables import annotations
from ml_backend.redaction import printable, redact

CONNECT_SECONDS = 3
LOCK_SECONDS = 20  # another process may be writing


class Database:
    """A pool of connections, which are opened on demand: the database may be unavailable while Prelabel starts.

    Args:
        address: URL of a database of SQLite or Postgres, or a file of SQLite.

    Attributes:
        place: the URL without its password.
    """

    def __init__(self, address: str | Path) -> None:
        url = URL.create("sqlite", database=str(address)) if isinstance(address, Path) else make_url(address)
        if url.get_backend_name() == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        self.place = redact(url.render_as_string(hide_password=True))
        self._file = Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None
        self._engine = _engine(url.render_as_string(hide_password=False), is_file=self._file is not None)
        self._is_current = False
        self._closed = False

    @property
    def exists(self) -> bool:
        """Whether there may be something to read; reading creates no SQLite file."""
        return self._file is None or self._file.exists()

    def check_writable(self) -> None:
        """Check that the file of SQLite can be written, or made; Postgres is not asked.

        Raises:
            FeedbackError: the user of this process may not, or the file system is read-only.
        """
        if self._file is None:
            return
        folder = next(parent for parent in self._file.absolute().parents if parent.exists())
        for path in (folder, self._file):
            if path.exists() and not os.access(path, os.W_OK):
                raise FeedbackError(f"the database {self.place} takes no events: this process may not write to {path}")

    def prepare(self) -> None:
        """Create the tables, or upgrade those of an older version.

        Raises:
            FeedbackError: the database cannot be used, or is of a newer version of Prelabel.
        """
        with self.writing():
            pass

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield a transaction, which is committed to the disk at the end of the block.

        Raises:
            FeedbackError: the database is locked, full, unavailable or of a newer version; nothing was written.
        """
        with self._using():
            if self._file is not None and not self._file.exists():
                self._file.parent.mkdir(parents=True, exist_ok=True)
                self._engine.dispose()  # connections of a deleted file write to nowhere
                self._is_current = False
            if not self._is_current:
                self._upgrade()
            with self._engine.execution_options(begin="BEGIN IMMEDIATE").begin() as connection:
                yield connection

    def _upgrade(self) -> None:
        with self._engine.execution_options(begin="BEGIN IMMEDIATE").begin() as connection:
            try:
                upgrade(connection)
            except NewerSchemaError as error:
                raise FeedbackError(f"the database {self.place} cannot be used: {error}") from None
        self._is_current = True

    @contextmanager
    def reading(self) -> Iterator[Connection | None]:
        """Yield a connection that sees one state of the database; None for a database without tables.

        Raises:
            FeedbackError: the database cannot be read, or is of a newer version.
        """
        if not self.exists:
            yield None
            return
        with self._using():
            is_there = self._is_current or self._has_tables()
            with self._engine.execution_options(**self._snapshot).connect() as connection:
                yield connection if is_there else None

    def _has_tables(self) -> bool:
        """Tell whether there are tables; those of an older version are upgraded first."""
        if not inspect(self._engine).has_table(annotations.name):
            return False
        self._upgrade()
        return True

    def take_lock(self, number: int) -> Connection | None:
        """Take an advisory lock of Postgres, if nobody has it; on SQLite there is none.

        Args:
            number: of the lock.

        Returns:
            A connection that holds the lock until it is closed; None if another one does.

        Raises:
            FeedbackError: the database cannot be used.
        """
        with self._using():
            connection = self._engine.connect()
            try:
                # In a transaction that stays open. It has no snapshot between statements, so it keeps nothing from being vacuumed.
                if connection.execute(select(func.pg_try_advisory_xact_lock(number))).scalar_one():
                    return connection
            except BaseException:
                connection.close()
                raise
            connection.close()
            return None

    @property
    def is_shared(self) -> bool:
        """Whether services on several machines can use it."""
        return self._file is None

    def now(self) -> float:
        """Return the time by the clock of the database, in seconds since 1970.

        Raises:
            FeedbackError: the database cannot be read.
        """
        with self.reading() as connection:
            return time.time() if connection is None else now(connection)

    @property
    def _snapshot(self) -> dict[str, str]:
        # A SQLite transaction sees one state anyway. Writers of Postgres keep its default: they would fail instead of waiting.
        return {"isolation_level": "REPEATABLE READ"} if self._file is None else {}

    @contextmanager
    def _using(self) -> Iterator[None]:
        """Turn errors into :class:`FeedbackError`, and close connections of a database that was closed meanwhile."""
        pool = self._engine.pool
        try:
            yield
        except (SQLAlchemyError, OSError) as error:
            cause = str(getattr(error, "orig", None) or error).strip().split("\n")[0]
            raise FeedbackError(f"the database {self.place} cannot be used: {printable(cause, 300)}") from error
        finally:
            if self._closed or pool is not self._engine.pool:
                pool.dispose()

    def close(self) -> None:
        """Close all connections: idle ones now, those in use when they are returned."""
        self._closed = True
        self._engine.pool.dispose()  # not the engine's own dispose(), which forgets the connections that are in use


def _engine(url: str, *, is_file: bool) -> Engine:
    if not is_file:
        return create_engine(
            url,
            pool_pre_ping=True,  # Postgres may have been restarted
            pool_timeout=CONNECT_SECONDS,
            connect_args={
                "connect_timeout": CONNECT_SECONDS,
                "client_encoding": "utf8",  # psycopg gives bytes in place of texts where the database was made without an encoding
                # The server notices within a minute that a machine has gone, and frees its locks.
                "options": f"-c lock_timeout={LOCK_SECONDS}s -c statement_timeout=60s"
                " -c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3",
            },
        )
    engine = create_engine(url, connect_args={"timeout": LOCK_SECONDS})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        connection.isolation_level = (
            None  # Python's sqlite3 begins no transaction for reading: each query would see its own state
        )
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")  # reports read while events are written
        cursor.execute("PRAGMA synchronous=FULL")  # an answered event survives a power cut
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # Writers take the lock at once: a transaction that has read before cannot wait for it.
        connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))

    return engine


def now(connection: Connection) -> float:
    """Return the seconds since 1970 by the clock of the database, which all services share."""
    if connection.dialect.name != "postgresql":
        return time.time()  # a SQLite file is on this machine
    return float(connection.execute(select(func.extract("epoch", func.clock_timestamp()))).scalar_one())


def seconds_of(text: str) -> float:
    """Return the seconds since 1970 of an ISO 8601 text; 0 for any other text."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def storable(text: str, limit: int) -> str:
    """Return a text that both databases accept: at most ``limit`` characters, without NUL and lone surrogates."""
    return printable(text.replace("\0", ""), limit)


def upsert(connection: Connection, table: Table, row: dict[str, Any], *, unless_newer: str = "") -> None:
    """Insert a row, or replace the one with the same primary key.

    Args:
        connection: a transaction.
        table: of the row.
        row: values by column.
        unless_newer: a column; an existing row with a larger value there is not replaced.
    """
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    keys = [column.name for column in table.primary_key]
    others = {name: value for name, value in row.items() if name not in keys}
    older = table.c[unless_newer] <= row[unless_newer] if unless_newer else None
    insert = dialect.insert(table).values(row)
    connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=others, where=older))
