"""A single thread that writes to the database, so that a process never waits for its own lock."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class WritingThread:
    """Runs functions one after the other in a thread of its own."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="feedback")

    async def run(self, work: Callable[[], T]) -> T:
        """Run a function and return what it returns."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """Wait for running functions, and end the thread."""
        self._pool.shutdown()
