"""Takes the items of a source into a checkpoint."""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from ml_backend.bootstrap.existing_tasks import ANNOTATED
from ml_backend.bootstrap.items import Item
from ml_backend.bootstrap.pending import BLOCK
from ml_backend.sqlite import transaction

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Surveyed:
    """The differences between a source and the checkpoint.

    Attributes:
        repeated: items that the source names more than once.
        missing: items that are kept, although the source does not name them any more.
        left_out: items that were removed, because the source does not name them any more.
    """

    repeated: int = 0
    missing: int = 0
    left_out: int = 0


def survey(database: sqlite3.Connection, items: Iterable[Item], *, sort: bool, leave_out_missing: bool) -> Surveyed:
    """Take in the items of a source, as :meth:`~ml_backend.bootstrap.checkpoint.Checkpoint.survey` describes."""
    repeated = 0
    database.execute("DELETE FROM found")
    insert = "INSERT OR IGNORE INTO found (key, variant, task, file, remains, stamp) VALUES (?, ?, ?, ?, ?, ?)"
    for block in blocks(items, BLOCK):
        rows = [
            (
                *(each.key, each.variant, json.dumps(each.task), each.file and os.fsencode(each.file)),
                *(each.skip_reason, each.stamp),
            )
            for each in block
        ]
        with transaction(database):
            repeated += len(rows) - database.executemany(insert, rows).rowcount
    with transaction(database):
        _assign_keys(database)
        database.execute(
            "INSERT INTO items (key, task, file, remains, stamp) SELECT key, task, file, remains, stamp FROM found WHERE true "  # noqa: S608 - one of two words
            f"ORDER BY {'key' if sort else 'number'} "
            "ON CONFLICT (key) DO UPDATE SET task = excluded.task, file = excluded.file, remains = excluded.remains, "
            "stamp = excluded.stamp, "
            "looks = iif(stamp = excluded.stamp AND excluded.remains <> ?, looks, NULL), "
            "former = iif(stamp = excluded.stamp AND excluded.remains <> ?, former, NULL), "
            "reason = iif(stamp = excluded.stamp AND excluded.remains = '', reason, NULL), "
            "code = iif(stamp = excluded.stamp AND excluded.remains = '', code, NULL)",
            (ANNOTATED, ANNOTATED),
        )
        missing = "FROM items WHERE key NOT IN (SELECT key FROM found)"
        # Nothing would be lost, and nobody can repair them.
        database.execute(f"DELETE {missing} AND looks IS NULL AND former IS NULL")
        left_out = database.execute(f"DELETE {missing}").rowcount if leave_out_missing else 0
        ((kept,),) = database.execute(f"SELECT COUNT(*) {missing}")
        database.execute("DELETE FROM found")
    return Surveyed(repeated, kept, left_out)


def _assign_keys(database: sqlite3.Connection) -> None:
    """Number the items that share a key, from the second one on, and rename items whose key is the variant (older versions)."""
    database.execute(
        "UPDATE found SET key = CAST(found.key || '-' || place AS BLOB) FROM ("
        "SELECT number AS other, ROW_NUMBER() OVER (PARTITION BY key ORDER BY number) AS place FROM found WHERE variant <> x'') "
        "WHERE number = other AND place > 1"
    )
    database.execute(
        "UPDATE OR IGNORE items SET key = named.key FROM ("
        "SELECT variant, key, MIN(number) FROM found WHERE variant <> x'' GROUP BY variant) AS named "
        "WHERE items.key = named.variant AND items.key NOT IN (SELECT key FROM found)"
    )


def blocks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of ``size`` items; the last list has the rest."""
    rest = iter(items)
    while block := list(islice(rest, size)):
        yield block
