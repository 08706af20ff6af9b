"""A store with a timeout, a circuit breaker, batched reads and metrics."""

import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import TypeVar

from ml_backend.cache.batching import BatchedReads, BatchedWrites
from ml_backend.cache.circuit_breaker import CircuitBreaker
from ml_backend.cache.locks import Locks
from ml_backend.cache.stores.store import Store, StoreUnavailableError, Usage
from ml_backend.errors import CacheError
from ml_backend.metrics import Metrics

T = TypeVar("T")


class ResilientStore:
    """Calls a store; each failure is counted and raises :class:`ml_backend.errors.CacheError`.

    Attributes:
        store: the store itself.
        locks: between processes, or None where the store has none: then two processes may compute one entry at the same time.
    """

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self.store = store
        self._metrics = metrics
        gauge = metrics.breaker_open.labels(store.name)
        gauge.set(0)
        self._breaker = CircuitBreaker(store, timeout=store.timeout, on_change=gauge.set)
        self._reads = BatchedReads(self._read)
        self._writes = BatchedWrites(self._write)
        self.locks = None if store.locks is None else Locks(store.locks, self._call)

    async def get(self, key: str) -> bytes | None:
        """Return the sealed entry under ``key``, or None; concurrent calls share a round trip."""
        if key in self._writes.waiting:
            return self._writes.waiting[key]
        return await self._reads.get(key)

    async def _read(self, keys: Collection[str]) -> Mapping[str, bytes]:
        return await self._call("read", lambda: self.store.read(keys))

    async def write(self, entries: Mapping[str, bytes]) -> None:
        """Keep sealed entries; concurrent calls share a round trip. A failure is counted, and nothing else.

        A store with locks has the entries when this returns, since the lock of an entry is released then. Any other store gets them
        soon, so that no answer waits for a transaction; a process that is killed loses the entries of that moment, which can be computed
        again.
        """
        await self._writes.add(entries, wait=self.locks is not None)

    async def _write(self, entries: Mapping[str, bytes]) -> None:
        await self._call("write", lambda: self.store.write(entries))

    async def usage(self) -> Usage:
        """Return the number of entries and their bytes."""
        return await self._call("usage", self.store.usage)

    async def _call(self, operation: str, work: Callable[[], Awaitable[T]]) -> T:
        if self._breaker.is_open:  # the store is not called, so nothing is counted
            return await self._breaker.call(work)
        started = time.perf_counter()
        try:
            return await self._breaker.call(work)
        except CacheError as error:
            kind = "away" if isinstance(error, StoreUnavailableError) else "refused"
            self._metrics.cache_errors.labels(self.store.name, operation, kind).inc()
            raise
        finally:
            self._metrics.cache_seconds.labels(self.store.name, operation).observe(time.perf_counter() - started)

    async def close(self) -> None:
        """Write what waits, stop calling the store, and close it."""
        await self._writes.flush()
        await self._breaker.close()
        await self.store.close()
