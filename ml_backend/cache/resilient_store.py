"""A store as the cache uses it: within a time limit, left alone while it is away, its reads gathered, all of it counted."""

import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import TypeVar

from ml_backend.cache.batching import BatchedReads
from ml_backend.cache.circuit_breaker import CircuitBreaker
from ml_backend.cache.locks import Locks
from ml_backend.cache.stores.redis import RedisStore
from ml_backend.cache.stores.store import Store, StoreUnavailableError, Usage
from ml_backend.errors import CacheError
from ml_backend.metrics import Metrics

T = TypeVar("T")


class ResilientStore:
    """Calls a store; whatever fails is counted and raises :class:`ml_backend.errors.CacheError`.

    Attributes:
        store: the store itself.
        locks: with which one process computes for all, where the store can do that.
    """

    def __init__(self, store: Store, timeout: float, metrics: Metrics) -> None:
        self.store = store
        self._metrics = metrics
        gauge = metrics.breaker_open.labels(store.name)
        gauge.set(0)
        self._breaker = CircuitBreaker(store, timeout=timeout, on_change=gauge.set)
        self._reads = BatchedReads(self._read)
        # SQLite has no locks that end when their holder dies, so there two processes may compute one picture at the same time.
        self.locks = Locks(store, self._call) if isinstance(store, RedisStore) else None

    async def get(self, key: str) -> bytes | None:
        """Return the sealed entry under ``key``, or None; who asks at the same time shares a round trip."""
        return await self._reads.get(key)

    async def _read(self, keys: Collection[str]) -> Mapping[str, bytes]:
        return await self._call("read", lambda: self.store.read(keys))

    async def write(self, entries: Mapping[str, bytes]) -> None:
        """Keep sealed entries."""
        await self._call("write", lambda: self.store.write(entries))

    async def usage(self) -> Usage:
        """Return how much is kept."""
        return await self._call("usage", self.store.usage)

    async def _call(self, operation: str, work: Callable[[], Awaitable[T]]) -> T:
        if self._breaker.is_open:  # not a call of the store at all
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
        """Let nothing through any more, and let go of files and connections."""
        await self._breaker.close()
        await self.store.close()
