"""The tier in a file: survives restarts, serves several processes of one machine, needs nothing installed."""

import asyncio
import contextlib
import functools
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, TypeVar

from ml_backend.cache.envelope import HEADER
from ml_backend.cache.stores.store import Store, StoredEntry, StoreRefusedError, StoreUnavailableError, Usage
from ml_backend.errors import CacheError
from ml_backend.settings import Settings

T = TypeVar("T")

APPLICATION = 0x504C4231  # tells our files from other programs' (https://sqlite.org/pragma.html#pragma_application_id)
SCHEMA_VERSION = 1
PAGE_BYTES = 16_384  # an entry of 2.3 kB would fill a page of SQLite's usual 4,096 bytes alone, and waste the rest
SCHEMA = """
    DROP TABLE IF EXISTS entries;
    CREATE TABLE entries (key TEXT PRIMARY KEY, value BLOB NOT NULL, used INTEGER NOT NULL);
    CREATE INDEX entries_by_use ON entries (used);
"""
BUSY_SECONDS = 0.5  # that another process may hold the file
DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
WAL_BYTES = 16_000_000  # what is left of the write-ahead log when it could be emptied
MAX_TOUCHED = 1000  # reads whose times are held back at most
PORTION = 1000


class SqliteStore(Store):
    """Entries in one SQLite file, at most ``max_bytes`` of it in use; least recently used out first.

    All work is done by one thread with one connection. A file that is damaged, or no database, is put aside (``….damaged``) and begun
    anew; another program's database is left alone.
    """

    name = "sqlite"
    usage_scope = "in the file"

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.location = f"{path}, {max_bytes:,} bytes"
        self._path = path
        self._max_bytes = max_bytes
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None  # of the file that is open
        # Readers write nothing: when an entry was used is told with the next write, which alone wants to know.
        self._touched: dict[str, int] = {}

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the store in ``PRELABEL_CACHE_FILE``."""
        return cls(settings.cache_file, settings.cache_file_bytes)

    async def read(self, keys: Collection[str]) -> dict[str, bytes]:
        """Return what is kept under ``keys``, which then counts as used just now."""
        return await self._run(lambda database: self._read(database, keys))

    async def write(self, entries: Mapping[str, bytes]) -> None:
        """Keep ``entries`` in one transaction, at the cost of those that were used longest ago."""
        await self._run(lambda database: self._write(database, entries))

    async def delete(self, keys: Collection[str]) -> int:
        """Forget ``keys`` and give their room back to the disk; gives how many there were."""
        return await self._run(lambda database: self._delete(database, keys))

    async def scan(self, prefix: str) -> AsyncIterator[list[StoredEntry]]:
        """List the entries whose keys start with ``prefix``, in the order of the keys."""
        last, end = prefix, prefix + "\U0010ffff"
        while rows := await self._run(functools.partial(self._list, after=last, before=end)):
            yield [StoredEntry(*row) for row in rows if isinstance(row[1], int) and isinstance(row[2], bytes)]
            last = rows[-1][0]

    def _list(self, database: sqlite3.Connection, after: str, before: str) -> list[tuple[str, Any, Any]]:
        query = (
            "SELECT key, length(value), substr(value, 1, ?) FROM entries WHERE key > ? AND key < ? ORDER BY key LIMIT ?"
        )
        return database.execute(query, (HEADER.size, after, before, PORTION)).fetchall()

    async def usage(self) -> Usage:
        """Return the entries and the bytes of the file that are in use."""
        return await self._run(
            lambda database: Usage(
                database.execute("SELECT count(*) FROM entries").fetchone()[0], _bytes_in_use(database)
            )
        )

    async def ping(self) -> None:
        """Open the file, if it is not open."""
        await self._run(lambda _: None)

    async def close(self) -> None:
        """Close the file."""
        # In this thread, since at the end of the interpreter no other takes any work.
        self._thread.shutdown(cancel_futures=True)
        self._disconnect()

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._translated, work)
        except RuntimeError as error:  # closed
            raise StoreUnavailableError(f"{self._path}: {error}") from None

    def _translated(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            try:
                return work(self._connect())
            except sqlite3.DatabaseError as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF not in DAMAGED:  # the rest tells details
                    raise
                self._put_aside()
                return work(self._connect())
        except CacheError:
            raise
        except (sqlite3.OperationalError, OSError) as error:
            if self._connection is None:
                raise StoreUnavailableError(f"{self._path} cannot be opened: {error}") from None
            if "locked" in str(error):  # waiting once is enough
                raise StoreUnavailableError(f"{self._path} is held by another process: {error}") from None
            raise StoreRefusedError(f"{self._path}: {error}") from None
        except Exception as error:  # whatever a damaged file makes of its rows
            raise StoreRefusedError(f"{self._path}: {error!r}") from None

    def _connect(self) -> sqlite3.Connection:
        if self._connection is not None and self._identity != self._identity_now():
            self._disconnect()  # somebody deleted the file, or put it aside and began anew
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._identity_now() is None:
                self._remove_log()  # of a file that somebody deleted
            # For nobody else to read: what is in it tells which pictures were looked at.
            descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
            status = os.fstat(descriptor)
            os.close(descriptor)
            self._identity = status.st_dev, status.st_ino
            database = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            database.text_factory = lambda text: text.decode("utf-8", "replace")
            try:
                self._prepare(database)
            except BaseException:
                database.close()
                raise
            self._connection = database
        return self._connection

    def _identity_now(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _prepare(self, database: sqlite3.Connection) -> None:
        with _transaction(database, "BEGIN"):  # one look at all three, whatever another process does meanwhile
            ours = self._is_ours(database)
        if not ours:
            database.execute(f"PRAGMA page_size = {PAGE_BYTES}")  # this and the next have a say over a new file only
            database.execute("PRAGMA auto_vacuum = incremental")
            with _transaction(database):
                if not self._is_ours(database):  # another process may have been faster
                    for statement in SCHEMA.strip().split(";")[:-1]:
                        database.execute(statement)
                    database.execute(f"PRAGMA application_id = {APPLICATION}")
                    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        database.execute("PRAGMA journal_mode = wal")
        database.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        # A power cut may cost the last entries but not the file (https://sqlite.org/pragma.html#pragma_synchronous).
        database.execute("PRAGMA synchronous = normal")

    def _is_ours(self, database: sqlite3.Connection) -> bool:
        tables, application, version = (
            database.execute(query).fetchone()[0]
            for query in ("SELECT count(*) FROM sqlite_schema", "PRAGMA application_id", "PRAGMA user_version")
        )
        if tables and application != APPLICATION:
            raise StoreUnavailableError(
                f"{self._path} is another program's database; name another file (PRELABEL_CACHE_FILE)"
            )
        return bool(tables) and version == SCHEMA_VERSION

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA busy_timeout = 0")
                self._write(self._connection, {})
            self._connection.close()
            self._connection = None

    def _put_aside(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._identity != self._identity_now():
            return  # another process has done it
        self._remove_log()  # first: once the file is away, one of that name belongs to whoever begins anew
        self._path.replace(self._path.with_name(self._path.name + ".damaged"))

    def _remove_log(self) -> None:
        for suffix in ("-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def _read(self, database: sqlite3.Connection, keys: Collection[str]) -> dict[str, bytes]:
        marks = ",".join("?" * len(keys))
        query = f"SELECT key, value FROM entries WHERE key IN ({marks})"  # noqa: S608 - question marks only
        rows = database.execute(query, tuple(keys)).fetchall()
        found = {key: value for key, value in rows if isinstance(value, bytes)}
        self._touched.update(dict.fromkeys(found, time.time_ns()))
        if len(self._touched) > MAX_TOUCHED:
            with contextlib.suppress(sqlite3.OperationalError):  # what was asked for is found
                self._write(database, {})
        return found

    def _write(self, database: sqlite3.Connection, entries: Mapping[str, bytes]) -> None:
        now = time.time_ns()
        fitting = [(key, value, now) for key, value in entries.items() if len(value) <= self._max_bytes]
        touched = [(used, key) for key, used in self._touched.items()]
        self._touched.clear()
        with _transaction(database):
            database.executemany("UPDATE entries SET used = ? WHERE key = ?", touched)
            database.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?)", fitting)
            while (excess := _bytes_in_use(database) - self._max_bytes) > 0:
                oldest = "DELETE FROM entries WHERE rowid IN (SELECT rowid FROM entries ORDER BY used LIMIT ?)"
                if database.execute(oldest, (1 + excess // PAGE_BYTES,)).rowcount < 1:
                    break  # nothing but the empty file's own pages, or an index that is damaged

    def _delete(self, database: sqlite3.Connection, keys: Collection[str]) -> int:
        with _transaction(database):
            deleted = database.executemany("DELETE FROM entries WHERE key = ?", [(key,) for key in keys]).rowcount
        database.execute("PRAGMA incremental_vacuum").fetchall()
        return deleted


@contextlib.contextmanager
def _transaction(database: sqlite3.Connection, begin: str = "BEGIN IMMEDIATE") -> Iterator[None]:
    database.execute(begin)
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def _bytes_in_use(database: sqlite3.Connection) -> int:
    pages, free, size = (
        database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)
