"""The store that several machines share, with locks between them."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.lock import Lock
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import LockError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ml_backend.cache.envelope import HEADER
from ml_backend.cache.keys import PROBE, lock_key
from ml_backend.cache.stores.store import Store, StoredEntry, StoreRefusedError, StoreUnavailableError, Usage
from ml_backend.redaction import redact
from ml_backend.settings import Settings

CONNECTIONS = 8  # reads come in batches, so few calls go on at once
LOCK_SECONDS = 5  # that others wait when a process dies while it computes
PORTION = 1000


class RedisStore(Store):
    """Entries in a Redis server, bounded by its own ``maxmemory``.

    Args:
        url: with password, if there is one.
        ttl: seconds after which entries expire; None for never.
        timeout: seconds that one call may take.
    """

    name = "redis"
    default_ttl = 30 * 86_400
    usage_scope = "the whole server takes"
    locks: "RedisLocks"

    def __init__(self, url: str, *, ttl: int | None, timeout: float) -> None:
        self.location = redact(url)
        self.timeout = timeout
        self._ttl = ttl
        self._resolver = ThreadPoolExecutor(1, thread_name_prefix="redis-name")
        # One retry on a new connection, since pooled ones break when the server restarts. Timeouts are not retried.
        retry = Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,))
        self._client = Redis.from_pool(
            BlockingConnectionPool.from_url(
                url,
                max_connections=CONNECTIONS,
                timeout=timeout,
                socket_timeout=timeout,
                socket_connect_timeout=timeout,
                retry=retry,
                client_name="prelabel",
            )
        )
        self.locks = RedisLocks(self._client)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self | None:
        """Return the store at ``REDIS_URL``, or None where that is not set."""
        if settings.redis_url is None:
            return None
        ttl = settings.cache_ttl_or(cls.default_ttl)
        return cls(settings.redis_url.get_secret_value(), ttl=ttl, timeout=settings.redis_timeout)

    async def read(self, keys: Collection[str]) -> dict[str, bytes]:
        """Return the entries under ``keys``; a value that is no string counts as missing."""
        with _translated():
            values = await self._client.mget(list(keys)) if keys else []
            return {key: value for key, value in zip(keys, values, strict=True) if isinstance(value, bytes)}

    async def write(self, entries: Mapping[str, bytes]) -> None:
        """Keep ``entries``, replacing any value of another type."""
        with _translated():
            async with self._client.pipeline(transaction=False) as pipeline:
                for key, sealed in entries.items():
                    pipeline.set(key, sealed, ex=self._ttl)
                await pipeline.execute()

    async def delete(self, keys: Collection[str]) -> int:
        """Delete ``keys``; gives how many existed. The server frees the memory in the background."""
        with _translated():
            return int(await self._client.unlink(*keys)) if keys else 0

    async def scan(self, prefix: str) -> AsyncIterator[list[StoredEntry]]:
        """List the entries whose keys start with ``prefix``, without blocking the server."""
        with _translated():
            keys = self._client.scan_iter(match=f"{prefix}*", count=PORTION, _type="STRING")
            portion: list[str] = []
            async for key in keys:
                portion.append(key.decode("utf-8", "replace"))
                if len(portion) == PORTION:
                    yield await self._list(portion)
                    portion = []
            if portion:
                yield await self._list(portion)

    async def _list(self, keys: list[str]) -> list[StoredEntry]:
        async with self._client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.getrange(key, 0, HEADER.size - 1)
                pipeline.strlen(key)
            answers = iter(await pipeline.execute(raise_on_error=False))
        pairs = zip(keys, zip(answers, answers, strict=False), strict=False)
        return [StoredEntry(key, length, head) for key, (head, length) in pairs if isinstance(head, bytes)]

    async def usage(self) -> Usage:
        """Return the number of keys in the database, and the memory of the whole server."""
        with _translated():
            return Usage(int(await self._client.dbsize()), int((await self._client.info("memory"))["used_memory"]))

    async def ping(self) -> None:
        """Read a key: a server may answer PING while it refuses reads."""
        options = self._client.connection_pool.connection_kwargs
        if "path" not in options:
            # In a thread of its own: a name server that hangs blocks the thread that asks it, and repeated probes would use up
            # the default executor, where all other names are resolved.
            where = options.get("host", "localhost"), options.get("port", 6379)
            with _translated():
                await asyncio.get_running_loop().run_in_executor(self._resolver, socket.getaddrinfo, *where)
        await self.read([PROBE])

    async def close(self) -> None:
        """Close the connections."""
        self._resolver.shutdown(wait=False, cancel_futures=True)
        with contextlib.suppress(Exception):  # a broken answer may still be in their buffers
            await self._client.aclose()


class RedisLocks:
    """Locks in a Redis server."""

    expiry: float = LOCK_SECONDS

    def __init__(self, client: Redis) -> None:
        self._client = client

    async def acquire(self, key: str) -> "RedisLock | None":
        """Acquire the lock of the entry under ``key``; gives None while another process holds it."""
        name = lock_key(key)
        with _translated():
            lock = Lock(self._client, name, timeout=LOCK_SECONDS, thread_local=False)
            if await lock.acquire(blocking=False):
                return RedisLock(lock)
            if await self._client.pttl(name) == -1:  # ours always expire: another program wrote this key
                await self._client.unlink(name)
        return None


class RedisLock:
    """A lock that this process holds."""

    def __init__(self, lock: Lock) -> None:
        self._lock = lock

    async def extend(self) -> bool:
        """Restart the time to expiry; tells whether the lock was still held."""
        with _translated():
            try:
                return bool(await self._lock.reacquire())
            except LockError:
                return False

    async def release(self) -> None:
        """Release the lock, if it is still held."""
        with _translated(), contextlib.suppress(LockError):
            await self._lock.release()


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    # redis-py reports a server that loads its data, and a refused password, as connection errors.
    except (TimeoutError, RedisConnectionError, RedisTimeoutError, OSError) as error:
        raise StoreUnavailableError(f"Redis does not answer: {redact(str(error)) or type(error).__name__}") from None
    except RedisError as error:
        raise StoreRefusedError(f"Redis refuses: {redact(str(error))}") from None
    except Exception as error:  # not a Redis server: redis-py raises various errors for its answers
        raise StoreRefusedError(f"Redis gives an invalid answer: {redact(repr(error))}") from None
