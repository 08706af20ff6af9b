"""The cache as the pipeline sees it: memory in front, SQLite or Redis behind, and no failure of either that anyone notices."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Self, TypeVar

from ml_backend.cache.envelope import Entry, seal, unseal
from ml_backend.cache.keys import namespace_of
from ml_backend.cache.resilient_store import ResilientStore
from ml_backend.cache.stores.memory import MemoryStore
from ml_backend.cache.stores.registry import open_store
from ml_backend.cache.stores.store import Store, Usage
from ml_backend.detections import Detections
from ml_backend.errors import CacheError
from ml_backend.metrics import Metrics
from ml_backend.settings import Settings

T = TypeVar("T")

RESULTS = ("hit", "miss", "expired", "corrupt", "failed")
POLL_SECONDS = 0.05  # how often a picture that another process computes is looked for
MAX_POLLS = 600  # half a minute; whoever holds the lock for longer is stuck, though alive


@dataclass(frozen=True, slots=True)
class TierReport:
    """One tier, for people: detections found and not found since the start, how much it keeps, or why it cannot tell."""

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
        self._ttl = ttl

    @classmethod
    def of(cls, settings: Settings, metrics: Metrics) -> Self:
        """Return the cache that the settings configure."""
        store = open_store(settings)
        memory_bytes = 0 if settings.cache == "none" else settings.memory_cache_bytes
        ttl = settings.cache_ttl_or(store.default_ttl if store else None)
        return cls(store, metrics, memory_bytes=memory_bytes, ttl=ttl)

    async def get(self, key: str, decode: Callable[[bytes], T]) -> T | None:
        """Return what is kept under ``key``, or None.

        Args:
            key: of :mod:`ml_backend.cache.keys`.
            decode: makes the value of an entry's payload; a ValueError makes the entry a corrupt one.
        """
        sealed = (await self._memory.read([key])).get(key)
        found, result = self._opened(key, sealed, decode)
        self._metrics.cache_reads.labels(self._memory.name, namespace_of(key), result).inc()
        if found is None and self._store is not None:
            found, result = await self._get_from(self._store, key, decode)
            self._metrics.cache_reads.labels(self._store.store.name, namespace_of(key), result).inc()
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
        """Keep payloads by key."""
        now = int(time.time())
        sealed = {key: seal(key, Entry(payload, now)) for key, payload in payloads.items()}
        await self._memory.write(sealed)
        if self._store is not None:
            with contextlib.suppress(CacheError):
                await self._store.write(sealed)

    async def get_or_compute(self, key: str, compute: Callable[[], Awaitable[Detections]]) -> Detections:
        """Return the detections under ``key``, computed now by one process of all that share the store, if by none before.

        Args:
            key: of :func:`ml_backend.cache.keys.detection_key`.
            compute: gives them; its errors are the caller's, and the next one's to try again.
        """
        known = await self.get(key, Detections.from_bytes)
        if known is not None:
            return known
        store = self._store
        if store is None or store.locks is None:
            return await self._compute(key, compute)
        waited = 0
        while not await store.locks.acquire(key) and waited < MAX_POLLS:
            if not waited:
                self._metrics.single_flight_waits.labels(store.store.name).inc()
            waited += 1
            await asyncio.sleep(POLL_SECONDS)
            known, _ = await self._get_from(store, key, Detections.from_bytes)
            if known is not None:
                return known
        try:
            # Whoever had the lock may be done since we looked.
            known, _ = await self._get_from(store, key, Detections.from_bytes)
            return known if known is not None else await self._compute(key, compute)
        finally:
            await store.locks.release(key)

    async def _compute(self, key: str, compute: Callable[[], Awaitable[Detections]]) -> Detections:
        found = await compute()
        await self.put({key: found.to_bytes()})
        return found

    async def measure(self) -> list[TierReport]:
        """Bring the metrics of room and entries up to date; gives all that matters to people, tier by tier."""
        reports = [await self._measure(self._memory, self._memory.usage)]
        if self._store is not None:
            reports.append(await self._measure(self._store.store, self._store.usage))
        return reports

    async def _measure(self, tier: Store, ask: Callable[[], Awaitable[Usage]]) -> TierReport:
        usage = problem = None
        try:
            usage = await ask()
        except CacheError as error:
            problem = str(error)
        if usage is not None:
            self._metrics.cache_entries.labels(tier.name).set(usage.entries)
            self._metrics.cache_bytes.labels(tier.name).set(usage.room)
        reads = {
            result: int(
                self._metrics.value("prelabel_cache_reads_total", tier=tier.name, kind="detections", result=result)
            )
            for result in RESULTS
        }
        hits = reads.pop("hit")
        return TierReport(tier.name, tier.location, hits, sum(reads.values()), usage, problem)

    async def close(self) -> None:
        """Let go of files and connections."""
        if self._store is not None:
            await self._store.close()
