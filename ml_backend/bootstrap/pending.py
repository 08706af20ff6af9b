"""The pending items of a checkpoint: those whose images lack a result. Both engines read them here."""

import json
import os
import sys
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self

from ml_backend.bootstrap.items import Item
from ml_backend.bootstrap.stored_results import Read, known_results
from ml_backend.sqlite import connect_read_only

PENDING = "looks IS NULL AND reason IS NULL AND remains = ''"
BLOCK = 500  # items that are read at once
BUSY_SECONDS = 60.0  # that the run may take to write


class PendingItems:
    """The pending items of a checkpoint, in order. Nothing stays open between two reads, so the run can record outcomes meanwhile.

    Args:
        read: reads rows from the checkpoint.
    """

    def __init__(self, read: Read) -> None:
        self._read = read

    @classmethod
    @contextmanager
    def of_file(cls, path: Path) -> Iterator[Self]:
        """Open a checkpoint that another process writes.

        Raises:
            sqlite3.Error: the checkpoint cannot be read.
        """
        with connect_read_only(path, timeout=BUSY_SECONDS) as database:
            yield cls(lambda select, values: database.execute(select, values).fetchall())

    def __iter__(self) -> Iterator[Item]:
        first = 0
        while block := self.between(first, sys.maxsize, limit=BLOCK):
            yield from block
            first = block[-1].position + 1

    def between(self, first: int, end: int, *, limit: int = -1) -> list[Item]:
        """Return the items at the positions from ``first`` to below ``end``, at most ``limit`` of them, each with its known results."""
        select = (
            f"SELECT position, key, task, file, former FROM items WHERE {PENDING} AND position >= ? AND position < ? "  # noqa: S608 - PENDING is a constant of ours
            "ORDER BY position LIMIT ?"
        )
        items = []
        for *row, former in self._read(select, (first, end, limit)):
            item = item_of_row(*row)
            if former:
                digests = [digest for of_key in json.loads(former).values() for digest in of_key]
                item = replace(item, known=known_results(self._read, digests))
            items.append(item)
        return items

    def page_starts(self, size: int) -> "array[int]":
        """Return the position of the first item of each page of ``size`` items."""
        select = (
            f"SELECT position FROM (SELECT position, ROW_NUMBER() OVER (ORDER BY position) - 1 AS number FROM items WHERE {PENDING}) "  # noqa: S608 - PENDING is a constant of ours
            "WHERE number % ? = 0 ORDER BY position"
        )
        return array("q", (position for (position,) in self._read(select, (size,))))


def item_of_row(position: int, key: bytes, task: str, file: bytes | None, skip_reason: str = "") -> Item:
    """Return the item of a row of the checkpoint."""
    path = None if file is None else Path(os.fsdecode(file))
    return Item(key, json.loads(task), path, skip_reason, position=position)
