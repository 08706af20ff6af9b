"""One round trip for all who ask at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping

MAX_KEYS = 500  # in one read: at 2.3 kB an entry, about a megabyte


class BatchedReads:
    """Gathers the keys that are asked for in one turn of the event loop, and while a read goes on, into the next read."""

    def __init__(self, read: Callable[[Collection[str]], Awaitable[Mapping[str, bytes]]]) -> None:
        self._read = read
        self._wanted: dict[str, asyncio.Future[bytes | None]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def get(self, key: str) -> bytes | None:
        """Return what the read gives for ``key``, or None; an error of the read is everybody's who took part in it."""
        future = self._wanted.get(key)
        if future is None:
            future = self._wanted[key] = asyncio.get_running_loop().create_future()
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_all())
        return await asyncio.shield(future)  # others may want it too

    async def _read_all(self) -> None:
        try:
            while self._wanted:
                keys = list(self._wanted)[:MAX_KEYS]
                futures = {key: self._wanted.pop(key) for key in keys}
                await self._answer(futures)
        finally:
            self._reading = None

    async def _answer(self, futures: dict[str, asyncio.Future[bytes | None]]) -> None:
        try:
            found = await self._read(futures.keys())
        except asyncio.CancelledError:
            for future in futures.values():
                future.cancel()
            raise
        except Exception as error:
            for future in futures.values():
                future.set_exception(error)
                future.exception()  # seen, even where whoever asked has gone
        else:
            for key, future in futures.items():
                future.set_result(found.get(key))
