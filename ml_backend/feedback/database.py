"""The tables that corrections are kept in, in SQLite or Postgres. What must not be lost is here; the cache is elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import platformdirs
from sqlalchemy import (
    URL,
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    create_engine,
    event,
    inspect,
    make_url,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from ml_backend.errors import FeedbackError
from ml_backend.redaction import printable, redact
from ml_backend.settings import Settings

CONNECT_SECONDS = 3
LOCK_SECONDS = 20  # another process may be writing

metadata = MetaData()

events = Table(
    "prelabel_events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),  # task, annotation or project: what may have changed
    Column("project", Integer, nullable=False),
    Column("object", Integer, nullable=False),  # its id
    Column("payload", LargeBinary),  # what the event says of it, where that is trusted
    Column("received_at", Float, nullable=False),  # seconds since 1970
    Column("due_at", Float, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("problem", Text, nullable=False),  # why it could not be judged so far
    Index("prelabel_events_due", "due_at", "id"),
    Index("prelabel_events_about", "object", "project", "kind", "id"),
    sqlite_autoincrement=True,  # ids are never used twice, so "up to this id" stays true
)

annotations = Table(
    "prelabel_annotations",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # that of Label Studio, as all ids below
    Column("project", Integer, nullable=False, index=True),
    Column("task", Integer, nullable=False, index=True),
    Column("annotator", Integer),
    Column("updated_at", Text, nullable=False),
    Column("skipped", Boolean, nullable=False),
    Column(
        "updated", Float, nullable=False
    ),  # the same in seconds since 1970: a text has no fraction where that is zero
    Column("whole", Boolean, nullable=False),  # whether its pictures could be looked at
    Column("facts", LargeBinary, nullable=False),  # see facts.py
)

tasks = Table(
    "prelabel_tasks",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column(
        "read_at", Float, nullable=False
    ),  # seconds since 1970, by our clock: what was read before must not replace it
)

projects = Table(
    "prelabel_projects",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("title", Text, nullable=False),
    Column("label_config", Text, nullable=False),
)

revisions = Table(
    "prelabel_revisions",
    metadata,
    Column("project", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),  # from 1, one by one
    Column(
        "stands_for", Integer, nullable=False
    ),  # itself, or the revision that it goes back to; 0 for nothing learned
    Column("before", Integer, nullable=False),  # what was in force: where going back leads
    Column("learned", Text, nullable=False),  # JSON of labels.Learned
    Column("author", Text, nullable=False),
    Column("created_at", Text, nullable=False),  # ISO 8601, UTC
    Column("evidence", Text, nullable=False),  # JSON
)


def default_file() -> Path:
    """Return where corrections are kept unless ``PRELABEL_DATABASE_URL`` says something else."""
    return platformdirs.user_data_path("prelabel") / "feedback.sqlite3"


class Database:
    """Where corrections are kept. Connections are made when they are needed, so it may be away while Prelabel starts.

    Args:
        settings: ``PRELABEL_DATABASE_URL``, else :func:`default_file`.
    """

    def __init__(self, settings: Settings) -> None:
        given = settings.database_url
        url = (
            URL.create("sqlite", database=str(default_file())) if given is None else make_url(given.get_secret_value())
        )
        if url.get_backend_name() == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        self.place = redact(url.render_as_string(hide_password=True))
        self._file = Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None
        self._engine = _engine(url.render_as_string(hide_password=False), is_file=self._file is not None)
        self._made = False
        self._closed = False

    @property
    def exists(self) -> bool:
        """Whether there can be anything to read: reading makes no file of SQLite."""
        return self._file is None or self._file.exists()

    def prepare(self) -> None:
        """Make the tables where there are none.

        Raises:
            FeedbackError: the database cannot be used.
        """
        with self.writing():
            pass

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a transaction, committed at its end: then it is on the disk.

        Raises:
            FeedbackError: the database is locked, full or gone; nothing was written.
        """
        with self._using():
            if self._file is not None and not self._file.exists():
                self._file.parent.mkdir(parents=True, exist_ok=True)
                self._engine.dispose()  # connections of a file that was taken away write to nowhere
                self._made = False
            if not self._made:
                self._make_tables()
            with self._engine.execution_options(begin="BEGIN IMMEDIATE").begin() as connection:
                yield connection

    def _make_tables(self) -> None:
        for pause in (0.05, 0.2, None):
            try:
                metadata.create_all(self._engine)
            except SQLAlchemyError:  # another process makes them at the same time
                if pause is None:
                    raise
                time.sleep(pause)
            else:
                self._made = True
                return

    @contextmanager
    def reading(self) -> Iterator[Connection | None]:
        """Give a connection that sees one state of the database; None where nothing was ever written.

        Raises:
            FeedbackError: the database cannot be read.
        """
        if not self.exists:
            yield None
            return
        with self._using():
            if not self._made:
                self._made = inspect(self._engine).has_table(annotations.name)
            with self._engine.execution_options(**self._snapshot).connect() as connection:
                yield connection if self._made else None

    @property
    def _snapshot(self) -> dict[str, str]:
        # A transaction of SQLite sees one state anyway. Writers of Postgres have its default: they would fail rather than wait.
        return {"isolation_level": "REPEATABLE READ"} if self._file is None else {}

    @contextmanager
    def _using(self) -> Iterator[None]:
        """Turn errors into :class:`FeedbackError`, and close the block's connection if nobody else will."""
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
        """Close its connections: idle ones now, and those that other threads use when they are done with them."""
        self._closed = True
        self._engine.pool.dispose()  # not the engine's own dispose(), which forgets the connections that are in use


def _engine(url: str, *, is_file: bool) -> Engine:
    if not is_file:
        return create_engine(
            url,
            pool_pre_ping=True,  # Postgres may have been started again
            pool_timeout=CONNECT_SECONDS,
            connect_args={
                "connect_timeout": CONNECT_SECONDS,
                "options": f"-c lock_timeout={LOCK_SECONDS}s -c statement_timeout=60s",
            },
        )
    engine = create_engine(url, connect_args={"timeout": LOCK_SECONDS})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        connection.isolation_level = (
            None  # Python's sqlite3 would begin no transaction for reading, so each query its own
        )
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")  # reports read while events are written
        cursor.execute("PRAGMA synchronous=FULL")  # an event that was answered survives a power cut
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # Writers take the lock at once: one that has read before could not wait for it.
        connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))

    return engine


def storable(text: str, limit: int) -> str:
    """Return a text that both databases take: at most ``limit`` characters, all of which can be encoded, and none of them NUL."""
    return printable(text.replace("\0", ""), limit)


def upsert(connection: Connection, table: Table, row: dict[str, Any], *, unless_newer: str = "") -> None:
    """Insert a row, or put it in the place of the one with its primary key.

    Args:
        connection: a transaction.
        table: whose row it is.
        row: values by column.
        unless_newer: a column: where the row that is there has more in it, that one stays.
    """
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    keys = [column.name for column in table.primary_key]
    others = {name: value for name, value in row.items() if name not in keys}
    older = table.c[unless_newer] <= row[unless_newer] if unless_newer else None
    insert = dialect.insert(table).values(row)
    connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=others, where=older))
