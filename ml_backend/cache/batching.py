"""Batches concurrent reads into one round trip, and concurrent writes too."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping

from ml_backend.errors import CacheError

MAX_WAITING = 1000  # entries of a few kilobytes; the store is then slower than the models
MAX_KEYS = 500  # of one read, about a megabyte. Without batches, 1,000 reads at once take 2.8 times as long from SQLite and time out in Redis.


class BatchedReads:
    """Reads together the keys that are requested in one turn of the event loop, or while another read runs."""

    def __init__(self, read: Callable[[Collection[str]], Awaitable[Mapping[str, bytes]]]) -> None:
        self._read = read
        self._wanted: dict[str, asyncio.Future[bytes | None]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def get(self, key: str) -> bytes | None:
        """Return the value of ``key``, or None; an error of the read reaches every caller in the batch."""
        future = self._wanted.get(key)
        if future is None:
            future = self._wanted[key] = asyncio.get_running_loop().create_future()
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_all())
        return await asyncio.shield(future)  # other callers may wait for the same key

    async def _read_all(self) -> None:
        try:
            while self._wanted:
                keys = list(self._wanted)[:MAX_KEYS]
                futures = {key: self._wanted.pop(key) for key in keys}
                await self._answer(futures)
        finally:
            self._reading = None

    async def _answer(self, futures: dict[str, asyncio.Future[bytes | None]]) -> None:
        try:
            found = await self._read(futures.keys())
        except asyncio.CancelledError:
            for future in futures.values():
                future.cancel()
            raise
        except Exception as error:
            for future in futures.values():
                future.set_exception(error)
                future.exception()  # retrieved, since the caller may be cancelled
        else:
            for key, future in futures.items():
                future.set_result(found.get(key))


class BatchedWrites:
    """Writes together the entries that are added while another write runs: a transaction costs more than an entry.

    Args:
        write: writes entries; its :class:`CacheError` has been counted by then.
    """

    def __init__(self, write: Callable[[Mapping[str, bytes]], Awaitable[None]]) -> None:
        self._write = write
        self._waiting: dict[str, bytes] = {}
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> Mapping[str, bytes]:
        """Entries whose write has not begun."""
        return self._waiting

    async def add(self, entries: Mapping[str, bytes], *, wait: bool) -> None:
        """Write entries with the next batch.

        Args:
            entries: by key.
            wait: whether to return after the write, which may have failed. Else the call returns at once, unless too many entries wait.
        """
        self._waiting |= entries
        if self._next is None:
            self._next = asyncio.create_task(self._write_waiting(self._running))
        if wait or len(self._waiting) > MAX_WAITING:
            await asyncio.shield(self._next)  # others wait for the same batch

    async def _write_waiting(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])  # whatever became of it, this batch is written
        entries, self._waiting = self._waiting, {}
        self._running, self._next = self._next, None
        with contextlib.suppress(CacheError):
            await self._write(entries)

    async def flush(self) -> None:
        """Wait until everything is written."""
        last = self._next or self._running
        if last is not None:
            await asyncio.wait([last])
