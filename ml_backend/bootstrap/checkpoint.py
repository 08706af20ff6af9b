"""What a bulk job has done so far, in one SQLite file: the order of its items, and what was found in each picture.

Everything that is written out follows from the checkpoint alone, in the order of the checkpoint. That is why a job that was killed at any
point gives the same output as one that was not: whatever was not recorded is done again, and nothing else is.
"""

import json
import os
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from filelock import FileLock, Timeout

from ml_backend.bootstrap.existing_tasks import ANNOTATED
from ml_backend.bootstrap.items import CompletedItem, Failure, Item, Outcome, WorkItem
from ml_backend.detections import Detections
from ml_backend.errors import BootstrapError
from ml_backend.redaction import printable

FORMAT = "1"  # raise when the tables change
APPLICATION = 0x50724C62  # in SQLite's file header: ours (PrLb)
T = TypeVar("T")
BLOCK = 500  # items that are read at once

_TABLES = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
DROP TABLE IF EXISTS found;
CREATE TABLE found (
    number INTEGER PRIMARY KEY, key BLOB NOT NULL, variant BLOB NOT NULL DEFAULT x'', task TEXT NOT NULL, file BLOB,
    remains TEXT NOT NULL, stamp TEXT NOT NULL, UNIQUE (key, variant));
CREATE TABLE IF NOT EXISTS items (
    position INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL UNIQUE, task TEXT NOT NULL, file BLOB, remains TEXT NOT NULL,
    stamp TEXT NOT NULL, looks TEXT, reason TEXT, code TEXT);
CREATE INDEX IF NOT EXISTS pending ON items (position) WHERE looks IS NULL AND reason IS NULL AND remains = '';
CREATE INDEX IF NOT EXISTS failed ON items (position) WHERE reason IS NOT NULL;
CREATE TABLE IF NOT EXISTS pictures (digest BLOB PRIMARY KEY, appearance BLOB NOT NULL, detections BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS sent (
    project INTEGER, position INTEGER, task INTEGER, version TEXT, PRIMARY KEY (project, position)) WITHOUT ROWID;
"""
PENDING = "looks IS NULL AND reason IS NULL AND remains = ''"


@dataclass(frozen=True, slots=True)
class Counts:
    """How many items there are, by what became of them."""

    pending: int
    done: int
    failed: int
    left: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.pending + self.done + self.failed + self.left


@dataclass(frozen=True, slots=True)
class Surveyed:
    """How a source differs from what the checkpoint has.

    Attributes:
        repeated: items that named one that the survey had already.
        missing: items that are kept although the source does not name them any more.
        left_out: items that were taken out because the source does not name them any more.
    """

    repeated: int = 0
    missing: int = 0
    left_out: int = 0


class Checkpoint:
    """A job's checkpoint; entered as a context manager, by one process at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(f"{path}.lock")

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout:
            raise BootstrapError(
                f"another run works on {self._name}; wait for it, or name another --checkpoint"
            ) from None
        except OSError as error:
            raise BootstrapError(f"the checkpoint {self._name} cannot be made: {error.strerror or error}") from None
        with ExitStack() as opened:
            opened.callback(self._lock.release)
            with self._explained():
                self._db = opened.enter_context(closing(sqlite3.connect(self.path, isolation_level=None)))
                self._prepare()
            self.claim({"format": FORMAT})
            self._opened = opened.pop_all()
        return self

    def _prepare(self) -> None:
        (application,) = self._db.execute("PRAGMA application_id").fetchone()
        (tables,) = self._db.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()
        if tables and application != APPLICATION:
            raise BootstrapError(f"{self._name} is another program's database; name another --checkpoint")
        self._db.execute(f"PRAGMA application_id = {APPLICATION}")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")  # a power cut costs the latest records, never the file
        self._db.executescript(_TABLES)

    @property
    def _name(self) -> str:
        return printable(str(self.path), 4096)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def claim(self, identity: Mapping[str, str]) -> None:
        """Make the checkpoint that of one job.

        Args:
            identity: what the job is, by name; what differs must not be mixed.

        Raises:
            BootstrapError: it is another job's; the message says in what they differ.
        """
        with self._transaction():
            for name, value in identity.items():
                before = self.fact(name)
                if before is not None and before != value:
                    raise BootstrapError(
                        f"{self._name} is the checkpoint of another job: its {name} was {before}, now it is {value}; "
                        "name another --checkpoint (or another output, beside which the checkpoint lies)"
                    )
                self._remember(name, value)

    @property
    def run(self) -> str:
        """What names this job among all others."""
        name = self.fact("run")
        if name is None:
            name = uuid.uuid4().hex
            self.remember("run", name)
        return name

    def fact(self, name: str) -> str | None:
        """Return what was remembered under a name, or None."""
        rows = self._read("SELECT value FROM facts WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else None

    def remember(self, name: str, value: str) -> None:
        """Keep a fact about the job, at once and for good."""
        with self._explained():
            self._remember(name, value)

    def _remember(self, name: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def survey(self, items: Iterable[Item], *, sort: bool, leave_out_missing: bool = False) -> Surveyed:
        """Take in the items of a source.

        New items come after those that are known; of known ones, task and reason to be left alone are renewed, and whatever has another
        stamp is to be looked at again. A survey that is broken off changes nothing. What is sorted is sorted on disk.

        Args:
            items: of the source.
            sort: by key, where the source gives them in no order of its own.
            leave_out_missing: take out the items that the source does not name any more, whatever was found in them.
        """
        repeated = 0
        with self._explained():
            self._db.execute("DELETE FROM found")
        for block in blocks(items, BLOCK):
            with self._transaction():
                rows = [
                    (each.key, each.variant, json.dumps(each.task), _path(each), each.left, each.stamp)
                    for each in block
                ]
                insert = (
                    "INSERT OR IGNORE INTO found (key, variant, task, file, remains, stamp) VALUES (?, ?, ?, ?, ?, ?)"
                )
                repeated += len(rows) - self._db.executemany(insert, rows).rowcount
        with self._transaction():
            self._name_found()
            self._db.execute(
                "INSERT INTO items (key, task, file, remains, stamp) SELECT key, task, file, remains, stamp FROM found WHERE true "  # noqa: S608 - one of two words
                f"ORDER BY {'key' if sort else 'number'} "
                "ON CONFLICT (key) DO UPDATE SET task = excluded.task, file = excluded.file, remains = excluded.remains, "
                "stamp = excluded.stamp, "
                "looks = iif(stamp = excluded.stamp AND excluded.remains <> ?, looks, NULL), "
                "reason = iif(stamp = excluded.stamp AND excluded.remains = '', reason, NULL), "
                "code = iif(stamp = excluded.stamp AND excluded.remains = '', code, NULL)",
                (ANNOTATED,),
            )
            # What never gave anything and is not there any more cannot be mended either.
            missing = "FROM items WHERE key NOT IN (SELECT key FROM found)"
            self._db.execute(f"DELETE {missing} AND looks IS NULL")
            left_out = self._db.execute(f"DELETE {missing}").rowcount if leave_out_missing else 0
            ((kept,),) = self._db.execute(f"SELECT COUNT(*) {missing}")
            self._db.execute("DELETE FROM found")
        return Surveyed(repeated, kept, left_out)

    def _name_found(self) -> None:
        """Number items that share a key, from the second one on. Items that older versions named by the variant get the key of now."""
        self._db.execute(
            "UPDATE found SET key = CAST(found.key || '-' || place AS BLOB) FROM ("
            "SELECT number AS other, ROW_NUMBER() OVER (PARTITION BY key ORDER BY number) AS place FROM found WHERE variant <> x'') "
            "WHERE number = other AND place > 1"
        )
        self._db.execute(
            "UPDATE OR IGNORE items SET key = named.key FROM ("
            "SELECT variant, key, MIN(number) FROM found WHERE variant <> x'' GROUP BY variant) AS named "
            "WHERE items.key = named.variant AND items.key NOT IN (SELECT key FROM found)"
        )

    def counts(self) -> Counts:
        """Return how many items there are, by what became of them."""
        ((done, failed, left, pending),) = self._read(
            "SELECT TOTAL(looks IS NOT NULL), TOTAL(reason IS NOT NULL), TOTAL(remains <> '' AND looks IS NULL AND reason IS NULL), "  # noqa: S608 - PENDING is a constant of ours
            f"TOTAL({PENDING}) FROM items"
        )
        return Counts(int(pending), int(done), int(failed), int(left))

    def pending(self) -> Iterator[WorkItem]:
        """Yield the items that have not been looked at, in order; may be used while results are recorded."""
        select = (
            f"SELECT position, key, task, file FROM items WHERE {PENDING} AND position > ? ORDER BY position LIMIT ?"  # noqa: S608 - PENDING is a constant of ours
        )
        for position, key, task, file in self._pages(select):
            yield WorkItem(position, item_of_row(key, task, file, ""))

    def sample_pending(self, number: int) -> None:
        """Leave alone all pending items but ``number`` of them, spread evenly."""
        pending = self.counts().pending
        with self._transaction():
            self._db.execute(
                "UPDATE items SET remains = 'not part of the dry run' WHERE position IN (SELECT position FROM ("  # noqa: S608 - PENDING is a constant of ours
                f"SELECT position, ROW_NUMBER() OVER (ORDER BY position) - 1 AS place FROM items WHERE {PENDING}) "
                "WHERE (place * :number) / :pending = ((place - 1) * :number) / :pending AND place > 0)",
                {"number": min(number, pending), "pending": pending},
            )

    def try_again(self) -> int:
        """Make all failed items pending; gives how many."""
        with self._transaction():
            return self._db.execute("UPDATE items SET reason = NULL, code = NULL WHERE reason IS NOT NULL").rowcount

    def has_image(self, digest: str) -> bool:
        """Tell whether a picture of these bytes has been looked at."""
        return bool(self._read("SELECT 1 FROM pictures WHERE digest = ?", (bytes.fromhex(digest),)))

    def record(self, results: Sequence[Outcome]) -> None:
        """Keep what became of items: all of it, or where that fails, nothing."""
        with self._transaction():
            for result in results:
                for look in (look for looks in result.looks.values() for look in looks if look.detections is not None):
                    row = (bytes.fromhex(look.digest), look.perceptual_hash.to_bytes(8, "big"), look.detections)
                    self._db.execute("INSERT OR IGNORE INTO pictures VALUES (?, ?, ?)", row)
                looks = {key: [look.digest for look in looks] for key, looks in result.looks.items()}
                reason, code = (result.failure.reason, result.failure.code) if result.failure else (None, None)
                self._db.execute(
                    "UPDATE items SET looks = ?, reason = ?, code = ? WHERE position = ?",
                    (None if result.failure else json.dumps(looks), reason, code, result.position),
                )

    def done(self) -> Iterator[CompletedItem]:
        """Yield the items that are done or left alone, in order, with what was found; and as left alone, the tasks that failed.

        A picture that failed is no task yet, but a task of an export whose picture failed may hold people's work.
        """
        select = (
            "SELECT position, key, task, file, iif(reason IS NULL, remains, 'it failed'), looks FROM items "
            "WHERE (looks IS NOT NULL OR remains <> '' OR json_extract(task, '$.id') IS NOT NULL AND reason IS NOT NULL) "
            "AND position > ? ORDER BY position LIMIT ?"
        )
        for position, key, task, file, skip_reason, looks in self._pages(select):
            digests: dict[str, list[str]] = json.loads(looks or "{}")
            images = {name: [self._image(digest) for digest in of_key] for name, of_key in digests.items()}
            yield CompletedItem(
                position,
                item_of_row(key, task, file, skip_reason if looks is None else ""),
                {name: [detections for _, detections in of_key] for name, of_key in images.items()},
                next((perceptual_hash for of_key in images.values() for perceptual_hash, _ in of_key), 0),
                tuple(digest for of_key in digests.values() for digest in of_key),
            )

    def _image(self, digest: str) -> tuple[int, Detections]:
        ((perceptual_hash, detections),) = self._read(
            "SELECT appearance, detections FROM pictures WHERE digest = ?", (bytes.fromhex(digest),)
        )
        return int.from_bytes(perceptual_hash, "big"), Detections.from_bytes(detections)

    def images(self) -> int:
        """Return how many different pictures have been looked at."""
        return int(self._read("SELECT COUNT(*) FROM pictures")[0][0])

    def failures(self) -> Iterator[tuple[Item, Failure]]:
        """Yield the items that failed, in order."""
        select = (
            "SELECT position, key, task, file, reason, code FROM items WHERE reason IS NOT NULL AND position > ? "
            "ORDER BY position LIMIT ?"
        )
        for _, key, task, file, reason, code in self._pages(select):
            yield item_of_row(key, task, file, ""), Failure(reason, code)

    def _pages(self, select: str) -> Iterator[tuple[Any, ...]]:
        # A page at a time, so that nothing is held open while others write, and nothing is read that is not wanted.
        last = 0
        while page := self._read(select, (last, BLOCK)):
            yield from page
            last = page[-1][0]

    def _read(self, select: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with self._explained():
            return self._db.execute(select, values).fetchall()

    def sent(self, project: int) -> dict[int, tuple[int, str | None]]:
        """Return what a Label Studio project has of this job: by position, the task's id and the version of its prediction."""
        rows = self._read("SELECT position, task, version FROM sent WHERE project = ?", (project,))
        return {position: (task, version) for position, task, version in rows}

    def record_sent(self, project: int, rows: Iterable[tuple[int, int, str | None]]) -> None:
        """Keep what a Label Studio project has got: position, the task's id, and the version of its prediction if it has one."""
        with self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO sent VALUES (?, ?, ?, ?)", ((project, *row) for row in rows))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._explained():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if self._db.in_transaction:  # a full disk has rolled it back already
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
                raise BootstrapError(
                    f"the checkpoint {self._name} is damaged or no checkpoint: {error}; delete it to begin anew (a project would get its tasks once more), or name another --checkpoint"
                ) from None
            raise BootstrapError(
                f"the checkpoint {self._name} cannot be written or read: {error}; what it holds is kept: "
                "make room or mend the disk, and run the same command again"
            ) from None


def item_of_row(key: bytes, task: str, file: bytes | None, left: str) -> Item:
    """Return the item of a row of the checkpoint."""
    return Item(key, json.loads(task), None if file is None else Path(os.fsdecode(file)), left)


def _path(item: Item) -> bytes | None:
    return None if item.file is None else os.fsencode(item.file)


def blocks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of ``size`` items, the last of what is left."""
    rest = iter(items)
    while block := list(islice(rest, size)):
        yield block
