"""The store in a file: it survives restarts, and several processes of one machine share it."""

import asyncio
import contextlib
import functools
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, TypeVar

from ml_backend.cache.envelope import HEADER
from ml_backend.cache.stores.store import Store, StoredEntry, StoreRefusedError, StoreUnavailableError, Usage
from ml_backend.errors import CacheError
from ml_backend.settings import Settings
from ml_backend.sqlite import ForeignDatabaseError, connect, transaction

T = TypeVar("T")

APPLICATION = 0x504C4231  # in the file's header
SCHEMA_VERSION = 1
PAGE_BYTES = 16_384  # SQLite's default page of 4,096 bytes would hold one entry of 2.3 kB and waste the rest
NEW_FILE: Mapping[str, str | int] = {"page_size": PAGE_BYTES, "auto_vacuum": "incremental"}
SCHEMA = """
    DROP TABLE IF EXISTS entries;
    CREATE TABLE entries (key TEXT PRIMARY KEY, value BLOB NOT NULL, used INTEGER NOT NULL);
    CREATE INDEX entries_by_use ON entries (used);
"""
BUSY_SECONDS = 0.5  # to wait while another process holds the file
DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
WAL_BYTES = 16_000_000  # that the write-ahead log is truncated to at a checkpoint
MAX_TOUCHED = 1000  # keys whose time of use is not written yet
PORTION = 1000


class SqliteStore(Store):
    """Entries in one SQLite file, at most ``max_bytes`` of it in use; the least recently used are evicted first.

    One thread with one connection does all the work. A file that is damaged, or not a database, is renamed to ``….damaged`` and replaced
    by an empty one; another program's database is never changed.
    """

    name = "sqlite"
    usage_scope = "in the file"

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.location = f"{path}, at most {max_bytes / 1e6:,g} MB"
        self._path = path
        self._max_bytes = max_bytes
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None  # of the file that is open
        # Reads write nothing: their times of use are written with the next write, which is what evicts.
        self._touched: dict[str, int] = {}

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the store in ``PRELABEL_CACHE_FILE``."""
        return cls(settings.cache_file, settings.cache_file_bytes)

    async def read(self, keys: Collection[str]) -> dict[str, bytes]:
        """Return the entries under ``keys``, and mark them as used."""
        return await self._run(lambda database: self._read(database, keys))

    async def write(self, entries: Mapping[str, bytes]) -> None:
        """Keep ``entries`` in one transaction, evicting the least recently used."""
        await self._run(lambda database: self._write(database, entries))

    async def delete(self, keys: Collection[str]) -> int:
        """Delete ``keys`` and shrink the file; gives how many existed."""
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
        # In this thread: when the interpreter exits, executors accept no more work.
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
                if getattr(error, "sqlite_errorcode", 0) & 0xFF not in DAMAGED:  # the higher bits hold details
                    raise
                self._set_aside()
                return work(self._connect())
        except CacheError:
            raise
        except (sqlite3.OperationalError, OSError) as error:
            if self._connection is None:
                raise StoreUnavailableError(f"{self._path} cannot be opened: {error}") from None
            if "locked" in str(error):  # BUSY_SECONDS have passed already
                raise StoreUnavailableError(f"{self._path} is locked by another process: {error}") from None
            raise StoreRefusedError(f"{self._path}: {error}") from None
        except Exception as error:  # a damaged file can give rows of any content
            raise StoreRefusedError(f"{self._path}: {error!r}") from None

    def _connect(self) -> sqlite3.Connection:
        if self._connection is not None and self._identity != self._identity_now():
            self._disconnect()  # the file was deleted or replaced
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._identity_now() is None:
                self._remove_log()  # of a file that was deleted
            # With permissions for this user only: the entries tell which images were asked for.
            descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
            status = os.fstat(descriptor)
            os.close(descriptor)
            self._identity = status.st_dev, status.st_ino
            self._connection = self._open()
        return self._connection

    def _open(self) -> sqlite3.Connection:
        try:
            database = connect(
                self._path, APPLICATION, timeout=BUSY_SECONDS, check_same_thread=False, new_file=NEW_FILE
            )
        except ForeignDatabaseError as error:
            raise StoreUnavailableError(f"{self._path}: {error}; name another file (PRELABEL_CACHE_FILE)") from None
        database.text_factory = lambda text: text.decode("utf-8", "replace")
        try:
            _prepare(database)
        except BaseException:
            database.close()
            raise
        return database

    def _identity_now(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA busy_timeout = 0")
                self._write(self._connection, {})
            self._connection.close()
            self._connection = None

    def _set_aside(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._identity != self._identity_now():
            return  # another process has replaced the file
        self._remove_log()  # before renaming: afterwards, a log of this name belongs to the next file
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
            with contextlib.suppress(sqlite3.OperationalError):  # the entries themselves have been read
                self._write(database, {})
        return found

    def _write(self, database: sqlite3.Connection, entries: Mapping[str, bytes]) -> None:
        now = time.time_ns()
        fitting = [(key, value, now) for key, value in entries.items() if len(value) <= self._max_bytes]
        touched = [(used, key) for key, used in self._touched.items()]
        self._touched.clear()
        with transaction(database):
            database.executemany("UPDATE entries SET used = ? WHERE key = ?", touched)
            database.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?)", fitting)
            while (excess := _bytes_in_use(database) - self._max_bytes) > 0:
                oldest = "DELETE FROM entries WHERE rowid IN (SELECT rowid FROM entries ORDER BY used LIMIT ?)"
                if database.execute(oldest, (1 + excess // PAGE_BYTES,)).rowcount < 1:
                    break  # only the empty file's own pages are left, or the index is damaged

    def _delete(self, database: sqlite3.Connection, keys: Collection[str]) -> int:
        with transaction(database):
            deleted = database.executemany("DELETE FROM entries WHERE key = ?", [(key,) for key in keys]).rowcount
        database.execute("PRAGMA incremental_vacuum").fetchall()
        return deleted


def _prepare(database: sqlite3.Connection) -> None:
    if _version(database) != SCHEMA_VERSION:
        with transaction(database):
            if _version(database) != SCHEMA_VERSION:  # another process may have created the tables meanwhile
                for statement in SCHEMA.strip().split(";")[:-1]:
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    database.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")


def _version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def _bytes_in_use(database: sqlite3.Connection) -> int:
    pages, free, size = (
        database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)
