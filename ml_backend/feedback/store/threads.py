"""One thread that uses the database, so that nothing in this process waits for a lock of its own."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class WritingThread:
    """Runs functions one after the other, away from the event loop."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="feedback")

    async def run(self, work: Callable[[], T]) -> T:
        """Run a function and return what it returns."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """Wait for what runs, and end."""
        self._pool.shutdown()
