"""The work of one request, and work that goes on after its request had to be answered, so that the next request finds it done."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Generic, TypeVar

T = TypeVar("T")

WINDOW = 1000  # jobs of one request that are begun and not done: 50,000 would hold up the garbage collector, and all else with it
TURN = 50  # jobs that are begun before other requests get their turn
PUT_OFF = 200_000  # names of jobs that are to be begun late; about 150 bytes each

MAX_REMEMBERED_IMAGES = (
    100_000  # how many pictures that were done too late are remembered by address; about 300 bytes each
)


class BackgroundWork(Generic[T]):
    """Late jobs by name, and the pictures that they were done with by address.

    Late jobs share a few places among themselves, however many there are: nobody waits for them, while somebody may wait for others.
    """

    def __init__(self, places: int) -> None:
        self._jobs: dict[str, asyncio.Task[T]] = {}
        self._going_on: set[asyncio.Task[Any]] = set()  # two tasks of one request can have one name
        self._image_digests: OrderedDict[str, str] = OrderedDict()
        self._put_off: set[str] = set()
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

    def put_off(self, names: Iterable[str], beginning: asyncio.Task[Any]) -> None:
        """Let ``beginning`` go on, which begins the jobs of those names, as far as there is room for them."""
        for name in names:
            if len(self._put_off) == PUT_OFF:
                break
            self._put_off.add(name)
        self._going_on.add(beginning)
        beginning.add_done_callback(self._going_on.discard)

    def take(self, name: str) -> bool:
        """Take a job that was put off; tells whether it still was, since another request may have begun it."""
        taken = name in self._put_off
        self._put_off.discard(name)
        return taken

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
            self._image_digests[address] = digest
            self._image_digests.move_to_end(address)
        while len(self._image_digests) > MAX_REMEMBERED_IMAGES:
            self._image_digests.popitem(last=False)

    def recall(self, address: str) -> str | None:
        """Return the digest that is remembered for an address, or None."""
        return self._image_digests.get(address)

    def forget(self, digests: Mapping[str, str]) -> None:
        """Forget the addresses of a task that was answered in time: next time they are asked anew, since pictures change."""
        for address in digests:
            self._image_digests.pop(address, None)

    async def cancel(self) -> None:
        """End all jobs."""
        jobs = list(self._going_on)
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)


class Batch(Generic[T]):
    """The jobs of one request. They are begun in their order, a bounded number at a time.

    Args:
        late: finds jobs that an earlier request still has going on: those are waited for, not begun once more.
        names: of the jobs; equal names have equal results.
        begin: gives the work of the job at a position.
    """

    def __init__(
        self, late: BackgroundWork[T], names: Sequence[str], begin: Callable[[int], Coroutine[Any, Any, T]]
    ) -> None:
        self._background = late
        self._names = names
        self._begin = begin
        self._results: list[T | None] = [None] * len(names)
        self._own: dict[asyncio.Task[T], str] = {}  # begun here, and not done
        self._joined: set[asyncio.Task[T]] = set()
        self._error: BaseException | None = None
        self._begun = 0
        self._overdue = False
        self._window = asyncio.Semaphore(WINDOW)

    async def results(self, seconds: float | None) -> list[T | None]:
        """Return the results by position, with None for jobs that are not done after some seconds. Those go on, or will be begun."""
        working = asyncio.create_task(self._work())
        try:
            await asyncio.wait([working], timeout=seconds)
        except asyncio.CancelledError:
            for job in (working, *self._own):  # others may be waiting for those that were joined
                job.cancel()
            raise
        if self._error is not None:
            working.cancel()
            raise self._error
        if working.done():
            working.result()
        else:
            self._overdue = True
            for job, name in self._own.items():
                self._background.keep(name, job)
            self._background.put_off(self._names[self._begun :], working)
        return list(self._results)

    async def _work(self) -> None:
        for place, name in enumerate(self._names):
            if place % TURN == 0:
                await asyncio.sleep(0)
            await self._window.acquire()
            self._begun = place + 1
            if not self._background.take(name) and self._overdue:  # a later request has begun it
                self._window.release()
                continue
            job = self._background.job(name)
            if job is None:
                job = asyncio.create_task(self._begin(place))
                self._own[job] = name
                if self._overdue:
                    self._background.keep(name, job)
            else:
                self._joined.add(job)
            job.add_done_callback(partial(self._end, place))
        while unfinished := {*self._own, *self._joined}:
            await asyncio.wait(unfinished)

    def _end(self, place: int, job: asyncio.Task[T]) -> None:
        self._own.pop(job, None)
        self._joined.discard(job)
        self._window.release()
        if job.cancelled():
            return
        self._error = self._error or job.exception()
        if self._error is None:
            self._results[place] = job.result()
