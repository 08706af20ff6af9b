"""One computation for all who ask for the same thing at the same time."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Shares running computations by key, within one event loop; ``on_wait`` is called for each that is waited for."""

    def __init__(self, on_wait: Callable[[], object] = lambda: None) -> None:
        self._on_wait = on_wait
        self._running: dict[str, asyncio.Task[T]] = {}

    async def run(self, key: str, compute: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the result of ``compute()``, or of the computation that is already running under ``key``.

        A caller that is cancelled takes nothing from the others: the computation goes on. An error reaches every caller, and the
        next one starts anew.
        """
        task = self._running.get(key)
        if task is None:
            task = asyncio.create_task(compute())
            self._running[key] = task
            task.add_done_callback(lambda done: self._land(key, done))
        else:
            self._on_wait()
        return await asyncio.shield(task)

    def _land(self, key: str, task: asyncio.Task[T]) -> None:
        del self._running[key]
        if not task.cancelled():
            task.exception()  # seen, even where every caller has gone

    async def close(self) -> None:
        """End all computations."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
