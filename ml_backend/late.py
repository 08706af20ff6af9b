"""Work that goes on after its request had to be answered, so that the next request finds it done."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

T = TypeVar("T")

PICTURES = 100_000  # how many pictures that were done too late are remembered by address; about 300 bytes each


class LateWork(Generic[T]):
    """Late jobs by name, and the pictures that they were done with by address.

    Late jobs share a few places among themselves, however many there are: nobody waits for them, while somebody may wait for others.
    """

    def __init__(self, places: int) -> None:
        self._jobs: dict[str, asyncio.Task[T]] = {}
        self._going_on: set[asyncio.Task[T]] = set()  # two tasks of one request can have one name
        self._pictures: OrderedDict[str, str] = OrderedDict()
        self._places = asyncio.Semaphore(places)

    def job(self, name: str) -> asyncio.Task[T] | None:
        """Return the job of that name that is still going on, or None."""
        return self._jobs.get(name)

    def keep(self, name: str, job: asyncio.Task[T]) -> None:
        """Let a job go on, and find it by its name until it is done."""
        if job not in self._going_on:
            self._jobs[name] = job
            self._going_on.add(job)
            job.add_done_callback(lambda job: self._end(name, job))

    def _end(self, name: str, job: asyncio.Task[T]) -> None:
        self._going_on.discard(job)
        if self._jobs.get(name) is job:
            del self._jobs[name]

    @asynccontextmanager
    async def place(self, *, late: bool) -> AsyncIterator[None]:
        """Wait for one of the few places where the work is late; else go on at once."""
        if late:
            async with self._places:
                yield
        else:
            yield

    def remember(self, digests: Mapping[str, str]) -> None:
        """Remember the digests of pictures, by address, of a task that was done too late."""
        for address, digest in digests.items():
            self._pictures[address] = digest
            self._pictures.move_to_end(address)
        while len(self._pictures) > PICTURES:
            self._pictures.popitem(last=False)

    def recall(self, address: str) -> str | None:
        """Return the digest that is remembered for an address, or None."""
        return self._pictures.get(address)

    def forget(self, digests: Mapping[str, str]) -> None:
        """Forget the addresses of a task that was answered in time: next time they are asked anew, since pictures change."""
        for address in digests:
            self._pictures.pop(address, None)

    async def cancel(self) -> None:
        """End all jobs."""
        jobs = list(self._going_on)
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
