"""One process at a time computes an entry: locks in Redis that end by themselves when their holder dies."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from redis.asyncio.lock import Lock

from ml_backend.cache.stores.redis import LOCK_SECONDS, RedisStore
from ml_backend.errors import CacheError


class Call(Protocol):
    """Calls the store, guarded and counted."""

    async def __call__(self, operation: str, work: Callable[[], Awaitable[Any]]) -> Any:
        """Return the result of ``work``."""


class Locks:
    """The locks that this process holds, each kept alive until it is given back.

    Args:
        store: where they are.
        call: calls the store; raises :class:`ml_backend.errors.CacheError`.
    """

    def __init__(self, store: RedisStore, call: Call) -> None:
        self._store = store
        self._call = call
        self._held: dict[str, tuple[Lock, asyncio.Task[None]]] = {}

    async def acquire(self, key: str) -> bool:
        """Tell whether the caller is the one to compute ``key``: it has the lock now, or no lock is to be had at all."""
        try:
            lock: Lock | None = await self._call("lock", lambda: self._store.lock(key))
        except CacheError:
            return True
        if lock is not None:
            self._held[key] = (lock, asyncio.create_task(self._keep(lock)))
        return lock is not None

    async def _keep(self, lock: Lock) -> None:
        held = True
        while held:
            await asyncio.sleep(LOCK_SECONDS / 3)
            with contextlib.suppress(CacheError):  # it may answer the next time
                held = await self._call("lock", lambda: self._store.extend(lock))

    async def release(self, key: str) -> None:
        """Give back the lock of ``key``, if there was one to be had."""
        if key in self._held:
            lock, keeping = self._held.pop(key)
            keeping.cancel()
            with contextlib.suppress(CacheError):
                await self._call("unlock", lambda: self._store.unlock(lock))
