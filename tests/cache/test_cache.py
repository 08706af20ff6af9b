import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from ports import free_port
from redis_server import RedisServer
from samples import detections_of
from waiting import SECONDS

from ml_backend.cache.cache import RESULTS, Cache
from ml_backend.cache.envelope import Entry, seal
from ml_backend.cache.keys import lock_key
from ml_backend.cache.stores.redis import LOCK_SECONDS
from ml_backend.detections import Detections
from ml_backend.errors import ModelError
from ml_backend.metrics import Metrics
from ml_backend.settings import Settings

KEY = f"prelabel:detections:{'f' * 64}:2-640:{'d' * 64}"
FOUND = detections_of(("Car", 0.9, (0.1, 0.2, 0.3, 0.4)), ("Dog", 0.5, (0, 0, 1, 1)))


async def get_or_compute(cache: Cache, compute: Callable[[], Awaitable[Detections]]) -> Detections:
    """Return the detections under KEY."""
    return await cache.get_or_compute(KEY, compute, encode=Detections.to_bytes, decode=Detections.from_bytes)


def payload(packed: bytes) -> bytes:
    """Decode nothing."""
    return packed


@asynccontextmanager
async def cache_of(**settings: Any) -> AsyncIterator[tuple[Cache, Metrics]]:
    """Give a cache with some settings, and its metrics."""
    metrics = Metrics()
    cache = Cache.from_settings(Settings(**settings), metrics)
    try:
        yield cache, metrics
    finally:
        await cache.close()


def reads(metrics: Metrics, tier: str) -> dict[str, int]:
    """Return the counts of reads of one tier, without zeros."""
    name = "prelabel_cache_reads_total"
    counts = {each: int(metrics.value(name, tier=tier, kind="detections", result=each)) for each in RESULTS}
    return {each: count for each, count in counts.items() if count}


def computing(found: Detections = FOUND) -> tuple[Callable[[], Awaitable[Detections]], list[int]]:
    """Return a computation that takes a while, and a list that grows with each run."""
    runs: list[int] = []

    async def compute() -> Detections:
        runs.append(1)
        await asyncio.sleep(0.1)
        return found

    return compute, runs


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
async def test_second_tier_outlives_the_first(redis: RedisServer, kind: str) -> None:
    """A new process finds what the old one kept; what was found behind is in front from then on."""
    settings = {"cache": kind, "redis_url": redis.url}
    compute, runs = computing()
    async with cache_of(**settings) as (cache, _):
        await get_or_compute(cache, compute)
    async with cache_of(**settings) as (cache, metrics):
        for _ in range(3):
            again = await get_or_compute(cache, compute)
        assert again.to_bytes() == FOUND.to_bytes()
        assert reads(metrics, "memory") == {"miss": 1, "hit": 2}
        assert reads(metrics, kind) == {"hit": 1}
    assert len(runs) == 1


@pytest.mark.parametrize(("kind", "runs_of_three"), [("memory", 1), ("none", 3)])
async def test_without_a_second_tier(kind: str, runs_of_three: int) -> None:
    """Memory alone, or nothing at all."""
    compute, runs = computing()
    async with cache_of(cache=kind) as (cache, _):
        for _ in range(3):
            await get_or_compute(cache, compute)
    assert len(runs) == runs_of_three


async def test_many_keys_are_one_round_trip(redis: RedisServer) -> None:
    """Concurrent reads are one call of Redis."""
    async with cache_of(cache="redis", redis_url=redis.url) as (cache, metrics):
        await cache.put({f"prelabel:{n}": b"x" for n in range(300)})
    async with cache_of(cache="redis", redis_url=redis.url) as (cache, metrics):
        found = await asyncio.gather(*(cache.get(f"prelabel:{n}", payload) for n in range(300)))
        assert found == [b"x"] * 300
        assert metrics.value("prelabel_cache_seconds_count", tier="redis", operation="read") == 1


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "random bytes": (lambda entry: os.urandom(len(entry)), "corrupt"),
    "truncated": (lambda entry: entry[:-1], "corrupt"),
    "empty": (lambda _: b"", "corrupt"),
    "of a later version": (lambda entry: b"PLC2" + entry[4:], "corrupt"),
    "copied from another key": (lambda _: seal("prelabel:other", Entry(FOUND.to_bytes(), 2**31)), "corrupt"),
    "another payload": (lambda _: seal(KEY, Entry(b"not detections", 2**31)), "corrupt"),
    "too old": (lambda _: seal(KEY, Entry(FOUND.to_bytes(), int(time.time()) - 61)), "expired"),
}


@pytest.mark.parametrize("kind", DAMAGES)
async def test_entry_that_cannot_be_used_is_computed_and_overwritten(redis: RedisServer, kind: str) -> None:
    """Never an error, never a wrong box."""
    damage, counted_as = DAMAGES[kind]
    settings: dict[str, Any] = {"cache": "redis", "redis_url": redis.url, "cache_ttl": 60}
    compute, runs = computing()
    async with cache_of(**settings) as (cache, _):
        await cache.put({KEY: FOUND.to_bytes()})
    kept = redis.client.get(KEY)
    assert isinstance(kept, bytes)
    redis.client.set(KEY, damage(kept))
    async with cache_of(**settings) as (cache, metrics):
        assert (await get_or_compute(cache, compute)).to_bytes() == FOUND.to_bytes()
        assert reads(metrics, "redis") == {counted_as: 1}
    async with cache_of(**settings) as (cache, metrics):
        assert (await get_or_compute(cache, compute)).to_bytes() == FOUND.to_bytes()
        assert reads(metrics, "redis") == {"hit": 1}
    assert len(runs) == 1


@pytest.mark.parametrize("memory_bytes", [0, 1_000_000])
async def test_no_answer_waits_for_a_transaction(tmp_path: Path, memory_bytes: int) -> None:
    """While another process writes to the file, entries are kept and read as if they were in it; closing writes them."""
    settings = {"cache": "sqlite", "cache_file": tmp_path / "cache.sqlite3", "memory_cache_bytes": memory_bytes}
    keys = [f"prelabel:{number}" for number in range(20)]
    async with cache_of(**settings) as (cache, _):
        await cache.put({"prelabel:first": b"x"})  # so the file is there
    async with cache_of(**settings) as (cache, metrics):
        with closing(sqlite3.connect(tmp_path / "cache.sqlite3", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for key in keys:
                await cache.put({key: b"x"})
            assert metrics.value("prelabel_cache_seconds_count", tier="sqlite", operation="write") == 0
            assert [await cache.get(key, payload) for key in keys] == [b"x"] * len(keys)
            other.execute("ROLLBACK")
    async with cache_of(**settings) as (cache, _):
        assert [await cache.get(key, payload) for key in keys] == [b"x"] * len(keys)


async def test_nothing_listens() -> None:
    """A start without Redis works, and memory serves meanwhile."""
    compute, runs = computing()
    url = f"redis://127.0.0.1:{free_port()}/0"
    async with cache_of(cache="redis", redis_url=url) as (cache, metrics):
        for _ in range(10):
            await get_or_compute(cache, compute)
        assert metrics.value("prelabel_cache_breaker_open", tier="redis") == 1
        assert [report.problem is None for report in await cache.measure(["detections"])] == [True, False]
    assert len(runs) == 1


async def test_two_processes_compute_once(redis: RedisServer) -> None:
    """Sixteen callers each, at the same time: one computation."""
    compute, runs = computing()
    settings: dict[str, Any] = {"cache": "redis", "redis_url": redis.url}
    async with cache_of(**settings) as (one, _), cache_of(**settings) as (other, metrics):
        found = await asyncio.gather(*(get_or_compute(cache, compute) for cache in (one, other) for _ in range(16)))
    assert {each.to_bytes() for each in found} == {FOUND.to_bytes()}
    assert len(runs) == 1
    assert metrics.value("prelabel_single_flight_waits_total", scope="redis") > 0
    assert not redis.client.exists(lock_key(KEY))


async def test_dead_holder_costs_the_others_its_expiry(redis: RedisServer) -> None:
    """And then they compute, with a lock of their own."""
    holders: list[object] = []

    async def compute() -> Detections:
        holders.append(redis.client.get(lock_key(KEY)))
        return FOUND

    redis.client.set(lock_key(KEY), b"of a dead process", px=700)
    async with cache_of(cache="redis", redis_url=redis.url) as (cache, _), asyncio.timeout(SECONDS):
        await get_or_compute(cache, compute)
    (holder,) = holders
    assert holder not in (None, b"of a dead process")


async def test_slow_holder_keeps_its_lock(redis: RedisServer) -> None:
    """A computation that takes longer than the lock's expiry is not done twice."""

    async def slow() -> Detections:
        await asyncio.sleep(LOCK_SECONDS * 0.6)
        assert redis.client.pttl(lock_key(KEY)) > LOCK_SECONDS * 1000 * 0.5
        return FOUND

    async with cache_of(cache="redis", redis_url=redis.url) as (cache, _):
        await get_or_compute(cache, slow)


async def test_error_frees_the_lock(redis: RedisServer) -> None:
    """The next one tries again at once."""

    async def fail() -> Detections:
        raise ModelError("no")

    compute, runs = computing()
    async with cache_of(cache="redis", redis_url=redis.url) as (cache, _):
        with pytest.raises(ModelError):
            await get_or_compute(cache, fail)
        assert not redis.client.exists(lock_key(KEY))
        await get_or_compute(cache, compute)
    assert len(runs) == 1


async def test_reports_are_for_people(redis: RedisServer) -> None:
    """Where it is, without the password; what was found; how much there is."""
    url = redis.url.replace("//", "//default:@")
    async with cache_of(cache="redis", redis_url=url) as (cache, _):
        await cache.put({KEY: FOUND.to_bytes()})
        assert await cache.get(KEY, payload) is not None
        memory, behind = await cache.measure(["detections"])
    assert (memory.name, memory.hits, memory.misses) == ("memory", 1, 0)
    assert behind.place == redis.url
    assert behind.usage is not None
    assert behind.usage.entries == 1
