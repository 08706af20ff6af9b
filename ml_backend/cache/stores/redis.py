"""The tier that several machines share, and the locks that let one of them compute for all."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.lock import Lock
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import LockError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ml_backend.cache.envelope import HEADER
from ml_backend.cache.keys import PROBE, lock_key
from ml_backend.cache.stores.store import StoredEntry, StoreRefusedError, StoreUnavailableError, Usage
from ml_backend.redaction import redact

CONNECTIONS = 8  # reads come in batches, so few calls go on at once
LOCK_SECONDS = 5  # what the death of a process that is computing costs those who wait for it
PORTION = 1000


class RedisStore:
    """Entries in a Redis server, whose own limits (``maxmemory``) bound them; they expire after ``ttl`` seconds."""

    name = "redis"

    def __init__(self, url: str, *, ttl: int | None, timeout: float) -> None:
        self.location = redact(url)
        self._ttl = ttl
        self._resolver = ThreadPoolExecutor(1, thread_name_prefix="redis-name")
        # One more try on a fresh connection, since kept ones die with a restart of the server. A time-out is not tried again.
        again = Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,))
        self._client = Redis.from_pool(
            BlockingConnectionPool.from_url(
                url,
                max_connections=CONNECTIONS,
                timeout=timeout,
                socket_timeout=timeout,
                socket_connect_timeout=timeout,
                retry=again,
                client_name="prelabel",
            )
        )

    async def read(self, keys: Collection[str]) -> dict[str, bytes]:
        """Return what is kept under ``keys``; what is no string there counts as missing."""
        with _translated():
            values = await self._client.mget(list(keys)) if keys else []
            return {key: value for key, value in zip(keys, values, strict=True) if isinstance(value, bytes)}

    async def write(self, entries: Mapping[str, bytes]) -> None:
        """Keep ``entries``, whatever was under their keys before."""
        with _translated():
            async with self._client.pipeline(transaction=False) as pipeline:
                for key, sealed in entries.items():
                    pipeline.set(key, sealed, ex=self._ttl)
                await pipeline.execute()

    async def delete(self, keys: Collection[str]) -> int:
        """Forget ``keys``; gives how many there were. The server frees the memory in the background."""
        with _translated():
            return int(await self._client.unlink(*keys)) if keys else 0

    async def scan(self, prefix: str) -> AsyncIterator[list[StoredEntry]]:
        """List the entries whose keys start with ``prefix``, without holding the server up."""
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
        """Return how many keys the database has and how much memory the whole server takes."""
        with _translated():
            return Usage(int(await self._client.dbsize()), int((await self._client.info("memory"))["used_memory"]))

    async def ping(self) -> None:
        """Read something: a server that is loading its data answers a ping neither, but only reads are what is needed."""
        options = self._client.connection_pool.connection_kwargs
        if "path" not in options:
            # In a thread of its own. A name server that hangs keeps the thread that asks it, and probe after probe would take all
            # those in which everything else is looked up.
            where = options.get("host", "localhost"), options.get("port", 6379)
            with _translated():
                await asyncio.get_running_loop().run_in_executor(self._resolver, socket.getaddrinfo, *where)
        await self.read([PROBE])

    async def close(self) -> None:
        """Close the connections."""
        self._resolver.shutdown(wait=False, cancel_futures=True)
        with contextlib.suppress(Exception):  # whatever a server that lies has left in them
            await self._client.aclose()

    async def lock(self, key: str) -> Lock | None:
        """Take the lock of whoever computes the entry under ``key``; gives None while somebody else has it.

        It ends by itself after :data:`LOCK_SECONDS` unless :meth:`extend` is called before.
        """
        name = lock_key(key)
        with _translated():
            lock = Lock(self._client, name, timeout=LOCK_SECONDS, thread_local=False)
            if await lock.acquire(blocking=False):
                return lock
            if await self._client.pttl(name) == -1:  # ours always end: somebody has written over it
                await self._client.unlink(name)
        return None

    async def extend(self, lock: Lock) -> bool:
        """Let a lock that is still held last for another :data:`LOCK_SECONDS`; tells whether it was."""
        with _translated():
            try:
                return bool(await lock.reacquire())
            except LockError:
                return False

    async def unlock(self, lock: Lock) -> None:
        """Give a lock back, if it is still held."""
        with _translated(), contextlib.suppress(LockError):
            await lock.release()


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    # Loading its data and refusing the password are connection errors to redis-py: nothing can be had until that changes.
    except (TimeoutError, RedisConnectionError, RedisTimeoutError, OSError) as error:
        raise StoreUnavailableError(f"Redis does not answer: {redact(str(error)) or type(error).__name__}") from None
    except RedisError as error:
        raise StoreRefusedError(f"Redis refuses: {redact(str(error))}") from None
    except Exception as error:  # what answers is no Redis, and redis-py makes anything of it
        raise StoreRefusedError(f"Redis answers with nonsense: {redact(repr(error))}") from None
