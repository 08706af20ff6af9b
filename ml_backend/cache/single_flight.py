"""Shares one running computation between concurrent callers."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Shares running computations by key, within one event loop; a caller that joins one waits in ``waiting()``."""

    def __init__(self, waiting: Callable[[], AbstractContextManager[object]] = nullcontext) -> None:
        self._waiting = waiting
        self._running: dict[str, asyncio.Task[T]] = {}

    async def run(self, key: str, compute: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the result of ``compute()``, or of the computation that is already running under ``key``.

        The computation goes on when a caller is cancelled. An error reaches every caller, and the next call computes again.
        """
        task = self._running.get(key)
        if task is not None:
            with self._waiting():
                return await asyncio.shield(task)
        task = asyncio.create_task(compute())
        self._running[key] = task
        task.add_done_callback(lambda done: self._finish(key, done))
        return await asyncio.shield(task)

    def _finish(self, key: str, task: asyncio.Task[T]) -> None:
        del self._running[key]
        if not task.cancelled():
            task.exception()  # retrieved, since all callers may be cancelled

    async def close(self) -> None:
        """Cancel all computations."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
