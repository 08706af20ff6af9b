"""The checkpoint of a bulk job, one SQLite file: the order of its items, and the results of their images.

All outputs follow from the checkpoint alone, in its order. So a job that was killed at any point writes the same outputs as an
undisturbed one: work that was not recorded is repeated, and no other work.
"""

import json
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout

from ml_backend.bootstrap.items import Failure, ImageResults, Item, Needs, Outcome
from ml_backend.bootstrap.pending import BLOCK, PENDING, PendingItems, item_of_row
from ml_backend.bootstrap.stored_results import NOTHING, known_results, read_result, require, store_result
from ml_backend.bootstrap.survey import Surveyed, survey
from ml_backend.errors import BootstrapError
from ml_backend.model_results import ModelKind
from ml_backend.pipeline.image_results import ImageResult
from ml_backend.redaction import printable
from ml_backend.sqlite import ForeignDatabaseError, connect, transaction

FORMAT = "1"  # raise when the tables change
APPLICATION = 0x50724C62  # in SQLite's file header (PrLb)

# Names of tables and columns are those of the first version: looks are results, remains is skip_reason, pictures are images. The column
# former has the results of an item that lacks some under the present label config.
_TABLES = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
DROP TABLE IF EXISTS found;
CREATE TABLE found (
    number INTEGER PRIMARY KEY, key BLOB NOT NULL, variant BLOB NOT NULL DEFAULT x'', task TEXT NOT NULL, file BLOB,
    remains TEXT NOT NULL, stamp TEXT NOT NULL, UNIQUE (key, variant));
CREATE TABLE IF NOT EXISTS items (
    position INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL UNIQUE, task TEXT NOT NULL, file BLOB, remains TEXT NOT NULL,
    stamp TEXT NOT NULL, looks TEXT, reason TEXT, code TEXT, former TEXT);
CREATE INDEX IF NOT EXISTS pending ON items (position) WHERE looks IS NULL AND reason IS NULL AND remains = '';
CREATE INDEX IF NOT EXISTS failed ON items (position) WHERE reason IS NOT NULL;
CREATE TABLE IF NOT EXISTS pictures (digest BLOB PRIMARY KEY, appearance BLOB NOT NULL, detections BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS classifications (digest BLOB PRIMARY KEY, classification BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS tiles (
    digest BLOB, most INTEGER, detections BLOB NOT NULL, PRIMARY KEY (digest, most)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sent (
    project INTEGER, position INTEGER, task INTEGER, version TEXT, PRIMARY KEY (project, position)) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Counts:
    """The number of items by state.

    Attributes:
        pending: their images have no result yet.
        done: their images have results.
        failed: their last attempt ended with an error.
        left: skipped; they get no prediction.
    """

    pending: int
    done: int
    failed: int
    left: int

    @property
    def total(self) -> int:
        """The number of all items."""
        return self.pending + self.done + self.failed + self.left


class Checkpoint:
    """The checkpoint of a job; entered as a context manager, by one process at a time.

    Raises:
        BootstrapError: from each method, if the file cannot be read or written, or is damaged.
    """

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
            try:
                with self._explained():
                    self._db = opened.enter_context(closing(connect(self.path, APPLICATION)))
                    self._db.executescript(_TABLES)
                    self._migrate()
            except ForeignDatabaseError:
                raise BootstrapError(f"{self._name} is another program's database; name another --checkpoint") from None
            self.claim({"format": FORMAT})
            self._opened = opened.pop_all()
        return self

    def _migrate(self) -> None:
        columns = {name for _, name, *_ in self._db.execute("PRAGMA table_info(items)")}
        if "former" not in columns:
            self._db.execute("ALTER TABLE items ADD COLUMN former TEXT")

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
            identity: the properties of the job that must not change, by name.

        Raises:
            BootstrapError: it is the checkpoint of another job; the message says how they differ.
        """
        with self._transaction():
            for name, value in identity.items():
                before = self.recall(name)
                if before is not None and before != value:
                    raise BootstrapError(
                        f"{self._name} is the checkpoint of another job: its {name} was {before}, now it is {value}; "
                        "name another --checkpoint (or another output, since the checkpoint lies beside it)"
                    )
                self._remember(name, value)

    @property
    def job_id(self) -> str:
        """A random id of this job."""
        name = self.recall("run")
        if name is None:
            name = uuid.uuid4().hex
            self.remember("run", name)
        return name

    def recall(self, name: str) -> str | None:
        """Return the text that was stored under a name, or None."""
        rows = self._read("SELECT value FROM facts WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else None

    def remember(self, name: str, value: str) -> None:
        """Store a text under a name."""
        with self._explained():
            self._remember(name, value)

    def _remember(self, name: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def survey(self, items: Iterable[Item], *, sort: bool, leave_out_missing: bool = False) -> Surveyed:
        """Take in the items of a source.

        New items come after the known ones. Known items get their current task and skip reason, and those with another stamp become
        pending again. A survey that is interrupted changes nothing. Sorting is done on disk.

        Args:
            items: of the source.
            sort: sort new items by key, because the source has no order of its own.
            leave_out_missing: remove the items that the source does not name any more, with their results.
        """
        with self._explained():
            return survey(self._db, items, sort=sort, leave_out_missing=leave_out_missing)

    def counts(self) -> Counts:
        """Return the number of items by state."""
        ((done, failed, left, pending),) = self._read(
            "SELECT TOTAL(looks IS NOT NULL), TOTAL(reason IS NOT NULL), TOTAL(remains <> '' AND looks IS NULL AND reason IS NULL), "  # noqa: S608 - PENDING is a constant of ours
            f"TOTAL({PENDING}) FROM items"
        )
        return Counts(int(pending), int(done), int(failed), int(left))

    def pending(self) -> Iterator[Item]:
        """Yield the items without a result, in order; outcomes can be recorded meanwhile."""
        return iter(PendingItems(self._read))

    def sample_pending(self, number: int) -> None:
        """Skip all pending items but ``number`` of them, spread evenly."""
        pending = self.counts().pending
        with self._transaction():
            self._db.execute(
                "UPDATE items SET remains = 'not part of the dry run' WHERE position IN (SELECT position FROM ("  # noqa: S608 - PENDING is a constant of ours
                f"SELECT position, ROW_NUMBER() OVER (ORDER BY position) - 1 AS place FROM items WHERE {PENDING}) "
                "WHERE (place * :number) / :pending = ((place - 1) * :number) / :pending AND place > 0)",
                {"number": min(number, pending), "pending": pending},
            )

    def retry_failures(self) -> int:
        """Make all failed items pending, and return their number."""
        with self._transaction():
            return self._db.execute("UPDATE items SET reason = NULL, code = NULL WHERE reason IS NOT NULL").rowcount

    def require(self, needs: Needs) -> int:
        """Make items pending whose results are not all that a label config needs, and return their number.

        Their results are kept, so that no model runs again on an image that it has examined. Items that a former label config made pending
        and that this one does not are done again.
        """
        with self._transaction():
            return require(self._db, self._read, needs)

    def known_results(self, digest: str) -> frozenset[ModelKind]:
        """Return the models whose results the checkpoint has for an image with this digest (64 hex digits)."""
        return known_results(self._read, [digest]).get(digest, NOTHING)

    def record(self, outcomes: Sequence[Outcome]) -> None:
        """Store outcomes, all or none of them."""
        with self._transaction():
            for outcome in outcomes:
                for image in (image for images in outcome.images.values() for image in images):
                    store_result(self._db, image)
                digests = {key: [image.digest for image in images] for key, images in outcome.images.items()}
                failure = outcome.failure
                reason, code = (failure.reason, failure.code) if failure else (None, None)
                looks = None if failure else json.dumps(digests)
                self._db.execute(
                    "UPDATE items SET looks = ?, reason = ?, code = ?, former = iif(?, former, NULL) WHERE position = ?",
                    (looks, reason, code, looks is None, outcome.position),
                )

    def done(self) -> Iterator[tuple[Item, ImageResults]]:
        """Yield the items for the outputs, in order, with the results of their images: those that are done, and skipped ones.

        An export's task that failed counts as skipped, since it may hold people's work. Other items that failed are left out.
        """
        select = (
            "SELECT position, key, task, file, iif(reason IS NULL, remains, 'it failed'), looks FROM items "
            "WHERE (looks IS NOT NULL OR remains <> '' OR json_extract(task, '$.id') IS NOT NULL AND reason IS NOT NULL) "
            "AND position > ? ORDER BY position LIMIT ?"
        )
        for position, key, task, file, skip_reason, looks in self._pages(select):
            digests: dict[str, list[str]] = json.loads(looks or "{}")
            images = {
                key: [read_result(self._read, digest) or ImageResult(digest) for digest in of_key]
                for key, of_key in digests.items()
            }
            yield item_of_row(position, key, task, file, skip_reason if looks is None else ""), images

    def images(self) -> int:
        """Return the number of different images that have a result."""
        return int(self._read("SELECT COUNT(*) FROM pictures")[0][0])

    def failures(self) -> Iterator[tuple[Item, Failure]]:
        """Yield the items that failed, in order."""
        select = (
            "SELECT position, key, task, file, reason, code FROM items WHERE reason IS NOT NULL AND position > ? "
            "ORDER BY position LIMIT ?"
        )
        for position, key, task, file, reason, code in self._pages(select):
            yield item_of_row(position, key, task, file), Failure(reason, code)

    def _pages(self, select: str) -> Iterator[tuple[Any, ...]]:
        last = 0  # a page at a time, so that no read stays open while others write
        while page := self._read(select, (last, BLOCK)):
            yield from page
            last = page[-1][0]

    def _read(self, select: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with self._explained():
            return self._db.execute(select, values).fetchall()

    def sent(self, project: int) -> dict[int, tuple[int, str | None]]:
        """Return the tasks of this job in a Label Studio project: id and version of the prediction, by position."""
        rows = self._read("SELECT position, task, version FROM sent WHERE project = ?", (project,))
        return {position: (task, version) for position, task, version in rows}

    def record_sent(self, project: int, rows: Iterable[tuple[int, int, str | None]]) -> None:
        """Record tasks of a Label Studio project: position, the task's id, and the version of its prediction if it has one."""
        with self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO sent VALUES (?, ?, ?, ?)", ((project, *row) for row in rows))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._explained(), transaction(self._db):
            yield

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
                "make room or repair the disk, and run the same command again"
            ) from None
