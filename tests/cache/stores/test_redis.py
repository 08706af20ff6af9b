import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis_server import RedisServer, redis_server
from waiting import SECONDS, until

from ml_backend.cache.keys import lock_key
from ml_backend.cache.stores.redis import LOCK_SECONDS, RedisStore
from ml_backend.cache.stores.store import StoreRefusedError, StoreUnavailableError
from ml_backend.errors import CacheError

KEY = "prelabel:detections:f:1:d"


@contextlib.asynccontextmanager
async def opened(url: str, *, ttl: int | None = 60, timeout_s: float = 0.3) -> AsyncIterator[RedisStore]:
    """Give a store that is closed afterwards."""
    store = RedisStore(url, ttl=ttl, timeout=timeout_s)
    try:
        yield store
    finally:
        await store.close()


@pytest.mark.parametrize(("ttl", "left"), [(100, range(90, 101)), (None, range(-1, 0))])
async def test_entries_expire(redis: RedisServer, ttl: int | None, left: range) -> None:
    """After the time to live, or never."""
    async with opened(redis.url, ttl=ttl) as store:
        await store.write({KEY: b"1"})
    assert redis.client.ttl(KEY) in left


async def test_reading_many_is_one_command(redis: RedisServer) -> None:
    """300 keys cost one round trip."""
    async with opened(redis.url) as store:
        await store.read(["prelabel:warm"])
        redis.client.config_resetstat()
        await store.read([f"prelabel:{n}" for n in range(300)])
    commands = {name: stats["calls"] for name, stats in redis.client.info("commandstats").items()}
    assert commands["cmdstat_mget"] == 1


async def test_wrong_types_under_our_keys_are_missing_and_overwritten(redis: RedisServer) -> None:
    """Another program uses the same database."""
    redis.client.lpush(KEY, "a", "b")
    async with opened(redis.url) as store:
        assert await store.read([KEY]) == {}
        await store.write({KEY: b"ours"})
        assert await store.read([KEY]) == {KEY: b"ours"}


async def test_full_memory_refuses_writes_and_still_reads() -> None:
    """`maxmemory` with `noeviction`."""
    with redis_server("--maxmemory-policy", "noeviction") as server:
        async with opened(server.url) as store:
            await store.write({KEY: b"1"})
            server.client.config_set("maxmemory", 1)
            with pytest.raises(StoreRefusedError, match="maxmemory"):
                await store.write({"prelabel:b": b"2"})
            assert await store.read([KEY]) == {KEY: b"1"}


async def test_replica_refuses_writes_and_still_reads(redis: RedisServer) -> None:
    """READONLY, as after a failover."""
    with redis_server("--replicaof", "127.0.0.1", str(redis.port)) as replica:
        async with opened(redis.url) as primary, opened(replica.url) as store:
            await primary.write({KEY: b"1"})
            await until(lambda: replica.client.exists(KEY))
            with pytest.raises(StoreRefusedError, match=r"(?i)read only"):
                await store.write({"prelabel:b": b"2"})


@pytest.mark.parametrize("credentials", ["", ":wrong@", "nobody:secret@"])
async def test_wrong_password_is_away(credentials: str) -> None:
    """And neither it nor the right one is in the message."""
    with redis_server("--requirepass", "secret") as server:
        async with opened(server.url.replace("//", f"//{credentials}")) as store:
            with pytest.raises(StoreUnavailableError) as raised:
                await store.read([KEY])
    assert "wrong@" not in str(raised.value)
    assert "secret" not in str(raised.value)


async def test_password_user_and_database(tmp_path: Path) -> None:
    """A password alone, an ACL user, a database by number, and a Unix socket."""
    path = tmp_path / "redis.sock"
    with redis_server("--requirepass", "secret", "--unixsocket", str(path)) as server:
        admin = server.client.from_url(f"redis://:secret@127.0.0.1:{server.port}/3")
        admin.acl_setuser("prelabel", enabled=True, passwords=["+pass"], keys=["prelabel:*"], categories=["+@all"])
        urls = [
            f"redis://:secret@127.0.0.1:{server.port}/3",
            f"redis://prelabel:pass@127.0.0.1:{server.port}/3",
            f"unix://prelabel:pass@{path}?db=3",
        ]
        for number, url in enumerate(urls):
            async with opened(url) as store:
                await store.write({f"prelabel:{number}": b"1"})
        assert set(admin.keys()) == {b"prelabel:0", b"prelabel:1", b"prelabel:2"}
        admin.close()


async def test_dead_hanging_and_restarted() -> None:
    """None holds a caller up for ever, and a restart costs nothing: kept connections are made anew."""
    with redis_server() as server:
        async with opened(server.url) as store:
            await store.write({KEY: b"1"})
            server.freeze()
            async with asyncio.timeout(SECONDS):
                with pytest.raises(StoreUnavailableError):
                    await store.read([KEY])
            server.thaw()
            assert await store.read([KEY]) == {KEY: b"1"}
            server.kill()
            with pytest.raises(StoreUnavailableError):
                await store.read([KEY])
            server.start()
            assert await store.read([KEY]) == {}
            await store.write({KEY: b"1"})
            server.kill()
            server.start()
            assert await store.read([KEY]) == {}


async def test_lock_has_one_holder_until_it_ends(redis: RedisServer) -> None:
    """Another process gets it once it is released, or expires because its holder died."""
    async with opened(redis.url) as one, opened(redis.url) as other:
        lock = await one.locks.acquire(KEY)
        assert lock is not None
        assert await other.locks.acquire(KEY) is None
        assert 0 < redis.client.pttl(lock_key(KEY)) <= LOCK_SECONDS * 1000
        await lock.release()
        mine = await other.locks.acquire(KEY)
        assert mine is not None
        redis.client.delete(lock_key(KEY))  # it has expired
        assert await one.locks.acquire(KEY) is not None
        await mine.release()  # does not release the new holder's lock
        assert redis.client.exists(lock_key(KEY))


async def test_lock_that_another_program_wrote_is_removed(redis: RedisServer) -> None:
    """Locks always expire; a key without expiry is no lock."""
    redis.client.set(lock_key(KEY), b"junk")
    async with opened(redis.url) as store:
        assert await store.locks.acquire(KEY) is None
        assert await store.locks.acquire(KEY) is not None


@pytest.mark.parametrize(
    "answer",
    [
        b"$abc\r\n",
        b"*abc\r\n",
        b"$-5\r\n",
        b"*1\r\n:7\r\n",
        b":7\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"*1\r\n" * 3000,
        b"",
    ],
)
async def test_what_answers_is_no_redis(answer: bytes) -> None:
    """The store raises its own errors for any answer, so no task fails."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while await reader.read(10_000):
                writer.write(answer)
                await writer.drain()
                if not answer:
                    break
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with opened(f"redis://127.0.0.1:{port}?protocol=2") as store:
            for work in (
                store.read([KEY, "b"]),
                store.write({KEY: b"1"}),
                store.usage(),
                store.ping(),
                store.locks.acquire(KEY),
            ):
                with contextlib.suppress(CacheError):
                    await work
        server.close()
