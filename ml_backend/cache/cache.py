"""A cache of two tiers, memory in front of a store. A failing tier is a miss, never an error."""

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Self, TypeVar

from ml_backend.cache.envelope import Entry, seal, unseal
from ml_backend.cache.keys import namespace_of
from ml_backend.cache.resilient_store import ResilientStore
from ml_backend.cache.stores.memory import MemoryStore
from ml_backend.cache.stores.registry import open_store
from ml_backend.cache.stores.store import Store, Usage
from ml_backend.errors import CacheError
from ml_backend.metrics import Metrics
from ml_backend.settings import Settings

T = TypeVar("T")

RESULTS = ("hit", "miss", "expired", "corrupt", "failed")
POLL_SECONDS = 0.05  # between reads of an entry that another process computes
MAX_POLLS = 600  # half a minute; a process that holds the lock for longer is stuck


@dataclass(frozen=True, slots=True)
class TierReport:
    """One tier for the status page.

    Attributes:
        name: in metrics and logs.
        place: the store's location, without passwords.
        hits, misses: reads since the start.
        usage: entries and bytes, or None where the tier does not answer.
        problem: why it does not, or None.
    """

    name: str
    place: str
    hits: int
    misses: int
    usage: Usage | None
    problem: str | None


class Cache:
    """Entries by key in two tiers. Never raises: a failure is counted, and is a miss.

    Args:
        store: behind the memory tier, or None.
        metrics: count reads and errors.
        memory_bytes: of the memory tier; 0 for none.
        ttl: seconds after which entries are not used any more; None for never.
    """

    def __init__(self, store: Store | None, metrics: Metrics, *, memory_bytes: int, ttl: int | None) -> None:
        self._memory = MemoryStore(memory_bytes)
        self._store = None if store is None else ResilientStore(store, metrics)
        self._metrics = metrics
        self._reads = functools.cache(metrics.cache_reads.labels)
        self._ttl = ttl

    @classmethod
    def from_settings(cls, settings: Settings, metrics: Metrics) -> Self:
        """Return the cache that the settings configure."""
        store = open_store(settings)
        memory_bytes = 0 if settings.cache == "none" else settings.memory_cache_bytes
        ttl = settings.cache_ttl_or(store.default_ttl if store else None)
        return cls(store, metrics, memory_bytes=memory_bytes, ttl=ttl)

    async def get(self, key: str, decode: Callable[[bytes], T]) -> T | None:
        """Return the value under ``key``, or None.

        Args:
            key: of the entry.
            decode: makes the value of an entry's payload; its ValueError counts as a corrupt entry.
        """
        sealed = (await self._memory.read([key])).get(key)
        found, result = self._opened(key, sealed, decode)
        self._reads(self._memory.name, namespace_of(key), result).inc()
        if found is None and self._store is not None:
            found, result = await self._get_from(self._store, key, decode)
            self._reads(self._store.store.name, namespace_of(key), result).inc()
        return found

    async def _get_from(self, store: ResilientStore, key: str, decode: Callable[[bytes], T]) -> tuple[T | None, str]:
        try:
            sealed = await store.get(key)
        except CacheError:
            return None, "failed"
        found, result = self._opened(key, sealed, decode)
        if found is not None and sealed is not None:
            await self._memory.write({key: sealed})
        return found, result

    def _opened(self, key: str, sealed: bytes | None, decode: Callable[[bytes], T]) -> tuple[T | None, str]:
        if sealed is None:
            return None, "miss"
        try:
            entry = unseal(key, sealed)
            if self._ttl is not None and entry.written + self._ttl < time.time():
                return None, "expired"
            return decode(entry.payload), "hit"
        except ValueError:
            return None, "corrupt"

    async def put(self, payloads: Mapping[str, bytes]) -> None:
        """Write payloads by key to both tiers."""
        now = int(time.time())
        sealed = {key: seal(key, Entry(payload, now)) for key, payload in payloads.items()}
        await self._memory.write(sealed)
        if self._store is not None:
            await self._store.write(sealed)

    async def get_or_compute(
        self,
        key: str,
        compute: Callable[[], Awaitable[T]],
        *,
        encode: Callable[[T], bytes],
        decode: Callable[[bytes], T],
    ) -> T:
        """Return the value under ``key``. If there is none, one of the processes that share the store computes it.

        Args:
            key: of the entry.
            compute: gives the value; its errors reach the caller, and nothing is kept.
            encode: makes the entry's payload of a value.
            decode: as for :meth:`get`.
        """

        async def compute_and_keep() -> T:
            value = await compute()
            with self._metrics.stage("cache"):
                await self.put({key: encode(value)})
            return value

        with self._metrics.stage("cache"):
            known = await self.get(key, decode)
        if known is not None:
            return known
        store = self._store
        if store is None or store.locks is None:
            return await compute_and_keep()
        waited = 0
        with self._metrics.stage("cache"):
            while not await store.locks.acquire(key) and waited < MAX_POLLS:
                if not waited:
                    self._metrics.single_flight_waits.labels(store.store.name).inc()
                waited += 1
                await asyncio.sleep(POLL_SECONDS)
                known, _ = await self._get_from(store, key, decode)
                if known is not None:
                    return known
        try:
            # The last holder may have written the entry since the read above.
            with self._metrics.stage("cache"):
                known, _ = await self._get_from(store, key, decode)
            return known if known is not None else await compute_and_keep()
        finally:
            with self._metrics.stage("cache"):
                await store.locks.release(key)

    async def measure(self, namespaces: Collection[str]) -> list[TierReport]:
        """Update the metrics of entries and bytes, and return a report of each tier.

        Args:
            namespaces: of the keys whose hits and misses are reported.
        """
        reports = [await self._measure(self._memory, self._memory.usage, namespaces)]
        if self._store is not None:
            reports.append(await self._measure(self._store.store, self._store.usage, namespaces))
        return reports

    async def _measure(
        self, tier: Store, ask: Callable[[], Awaitable[Usage]], namespaces: Collection[str]
    ) -> TierReport:
        usage = problem = None
        try:
            usage = await ask()
        except CacheError as error:
            problem = str(error)
        if usage is not None:
            self._metrics.cache_entries.labels(tier.name).set(usage.entries)
            self._metrics.cache_bytes.labels(tier.name).set(usage.room)
        reads = {
            result: sum(
                int(self._metrics.value("prelabel_cache_reads_total", tier=tier.name, kind=kind, result=result))
                for kind in namespaces
            )
            for result in RESULTS
        }
        hits = reads.pop("hit")
        return TierReport(tier.name, tier.location, hits, sum(reads.values()), usage, problem)

    async def close(self) -> None:
        """Close files and connections."""
        if self._store is not None:
            await self._store.close()
