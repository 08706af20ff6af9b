"""Locks between processes: one process at a time computes an entry."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from ml_backend.cache.stores.store import HeldLock, LockService
from ml_backend.errors import CacheError


class Call(Protocol):
    """Calls the store, with its time limit, circuit breaker and metrics."""

    async def __call__(self, operation: str, work: Callable[[], Awaitable[Any]]) -> Any:
        """Return the result of ``work``."""


class Locks:
    """The locks that this process holds, each extended until it is released.

    Args:
        service: of the store.
        call: calls the store; raises :class:`ml_backend.errors.CacheError`.
    """

    def __init__(self, service: LockService, call: Call) -> None:
        self._service = service
        self._call = call
        self._held: dict[str, tuple[HeldLock, asyncio.Task[None]]] = {}

    async def acquire(self, key: str) -> bool:
        """Tell whether the caller should compute ``key``: it holds the lock now, or the store gives no locks at the moment."""
        try:
            lock: HeldLock | None = await self._call("lock", lambda: self._service.acquire(key))
        except CacheError:
            return True
        if lock is not None:
            self._held[key] = (lock, asyncio.create_task(self._keep(lock)))
        return lock is not None

    async def _keep(self, lock: HeldLock) -> None:
        held = True
        while held:
            await asyncio.sleep(self._service.expiry / 3)
            with contextlib.suppress(CacheError):  # the next attempt may succeed
                held = await self._call("lock", lock.extend)

    async def release(self, key: str) -> None:
        """Release the lock of ``key``, if this process holds it."""
        if key in self._held:
            lock, keeping = self._held.pop(key)
            keeping.cancel()
            with contextlib.suppress(CacheError):
                await self._call("unlock", lock.release)
