"""What every tier promises, tried on each of them."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import NoneType

import pytest
from redis_server import RedisServer

from ml_backend.cache.stores.memory import MemoryStore
from ml_backend.cache.stores.redis import RedisStore
from ml_backend.cache.stores.sqlite import SqliteStore
from ml_backend.cache.stores.store import Store, StoreRefusedError, StoreUnavailableError, Usage

ROOM = 2_000_000

# What reading, writing, measuring and asking for its health come to once a store is closed.
AFTER_CLOSE = {
    "memory": [{}, NoneType, Usage, NoneType],
    "sqlite": [StoreUnavailableError] * 4,
    "redis": [{"prelabel:a": b"1"}, NoneType, Usage, StoreRefusedError],
}


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """Give an empty store of each kind."""
    makers: dict[str, Callable[[], Store]] = {
        "memory": lambda: MemoryStore(ROOM),
        "sqlite": lambda: SqliteStore(tmp_path / "new folder" / "cache.sqlite3", ROOM),
        "redis": lambda: RedisStore(_redis(request).url, ttl=60, timeout=1),
    }
    made = makers[request.param]()
    yield made
    await made.close()


def _redis(request: pytest.FixtureRequest) -> RedisServer:
    server: RedisServer = request.getfixturevalue("redis")
    return server


class TestStore:
    """One class for all three."""

    async def test_what_is_written_is_read(self, store: Store) -> None:
        """Several at once, byte for byte; what was never written is left out."""
        entries = {f"prelabel:{n}": os.urandom(n) for n in (0, 1, 2_300, 100_000)}
        await store.write(entries)
        assert await store.read([*entries, "prelabel:other"]) == entries
        assert await store.read([]) == {}

    async def test_last_write_counts(self, store: Store) -> None:
        """Under the same key there is one entry."""
        await store.write({"prelabel:a": b"old"})
        await store.write({"prelabel:a": b"new"})
        assert await store.read(["prelabel:a"]) == {"prelabel:a": b"new"}
        assert (await store.usage()).entries == 1

    async def test_delete_forgets(self, store: Store) -> None:
        """And tells how many there were."""
        await store.write({"prelabel:a": b"1", "prelabel:b": b"2"})
        assert await store.delete(["prelabel:a", "prelabel:never"]) == 1
        assert await store.delete([]) == 0
        assert await store.read(["prelabel:a", "prelabel:b"]) == {"prelabel:b": b"2"}

    async def test_scan_lists_what_starts_so(self, store: Store) -> None:
        """Each once, with its size and first bytes, however many there are; other keys are not ours to list."""
        ours = {f"prelabel:detections:{n:05}": bytes([n % 256]) * 40 for n in range(2_500)}
        await store.write(ours | {"prelabel:addresses:a": b"x", "other": b"y"})
        listed = [each for portion in [p async for p in store.scan("prelabel:detections:")] for each in portion]
        assert sorted(each.key for each in listed) == sorted(ours)
        assert {each.size for each in listed} == {40}
        assert all(ours[each.key].startswith(each.head) and len(each.head) == 24 for each in listed)

    async def test_usage_grows_and_shrinks(self, store: Store) -> None:
        """Bytes of room are those of the values, about: Redis gives the memory of its whole server, and frees that of earlier tests meanwhile."""
        before = await store.usage()
        await store.write({f"prelabel:{n}": bytes(5_000) for n in range(100)})
        full = await store.usage()
        assert (before.entries, full.entries) == (0, 100)
        assert full.room >= before.room + 400_000
        await store.delete([f"prelabel:{n}" for n in range(100)])
        assert (await store.usage()).entries == 0

    async def test_closed_store_gives_what_is_right_or_an_error(self, store: Store) -> None:
        """After closing, a file is unavailable, memory is empty, and Redis answers reads but no ping."""
        await store.write({"prelabel:a": b"1"})
        await store.close()
        late = (store.read(["prelabel:a"]), store.write({"prelabel:b": b"2"}), store.usage(), store.ping())
        came = await asyncio.gather(*late, return_exceptions=True)
        assert [each if isinstance(each, dict) else type(each) for each in came] == AFTER_CLOSE[store.name]
        await store.close()


class TestBoundedStore:
    """The two that bound themselves; Redis has its own `maxmemory`."""

    @pytest.fixture(params=["memory", "sqlite"])
    def store(self, request: pytest.FixtureRequest, tmp_path: Path) -> Store:
        """Give the two, one after the other."""
        return MemoryStore(ROOM) if request.param == "memory" else SqliteStore(tmp_path / "cache.sqlite3", ROOM)

    async def test_room_is_bounded(self, store: Store) -> None:
        """However much is written, and under the same keys again; most of the room is used."""
        for number in range(400):
            await store.write({f"prelabel:{number % 350}": os.urandom(10_000)})
            assert (await store.usage()).room <= ROOM
        assert (await store.usage()).room > ROOM * 0.8
        await store.close()

    async def test_least_recently_used_goes_first(self, store: Store) -> None:
        """A look counts as use."""
        for number in range(600):
            await store.write({f"prelabel:{number}": os.urandom(2_000)})
        await store.read(["prelabel:0", "prelabel:1"])
        for number in range(600, 1_000):
            await store.write({f"prelabel:{number}": os.urandom(2_000)})
        kept = await store.read([f"prelabel:{n}" for n in range(1_000)])
        assert {"prelabel:0", "prelabel:1", "prelabel:999"} <= set(kept)
        assert not {"prelabel:2", "prelabel:3"} & set(kept)
        await store.close()

    async def test_what_is_too_large_alone_costs_nobody_a_place(self, store: Store) -> None:
        """It is not kept; the others are."""
        await store.write({"prelabel:a": b"small"})
        await store.write({"prelabel:b": bytes(ROOM + 1)})
        assert await store.read(["prelabel:a", "prelabel:b"]) == {"prelabel:a": b"small"}
        await store.close()
