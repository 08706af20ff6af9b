"""The work of one request, and the work that goes on after a request was answered at its deadline."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from ml_backend.pipeline.limits import MAX_TASKS_AT_ONCE, TASKS_PER_TURN

T = TypeVar("T")

MAX_POSTPONED = 200_000  # keys of jobs that are to be started late; about 150 bytes each
MAX_REMEMBERED_IMAGES = 100_000  # images of late jobs, by key; about 300 bytes each


class BackgroundWork(Generic[T]):
    """Late jobs by key, and the digests of the images that they used."""

    def __init__(self) -> None:
        self._jobs: dict[str, asyncio.Task[T]] = {}
        self._going_on: set[asyncio.Task[Any]] = set()  # two tasks of one request can have one key
        self._image_digests: OrderedDict[str, str] = OrderedDict()
        self._postponed: set[str] = set()

    def job(self, key: str) -> asyncio.Task[T] | None:
        """Return the running job of a key, or None."""
        return self._jobs.get(key)

    def keep(self, key: str, job: asyncio.Task[T]) -> None:
        """Let a job go on, and find it by its key until it is done."""
        if job not in self._going_on:
            self._jobs[key] = job
            self._going_on.add(job)
            job.add_done_callback(lambda job: self._end(key, job))

    def postpone(self, keys: Iterable[str], starter: asyncio.Task[Any]) -> None:
        """Let ``starter`` go on, which starts the jobs of some keys later, at most :data:`MAX_POSTPONED` of all requests."""
        for key in keys:
            if len(self._postponed) == MAX_POSTPONED:
                break
            self._postponed.add(key)
        self._going_on.add(starter)
        starter.add_done_callback(self._going_on.discard)

    def take(self, key: str) -> bool:
        """Take a postponed job; returns False where another request has started it meanwhile."""
        taken = key in self._postponed
        self._postponed.discard(key)
        return taken

    def _end(self, key: str, job: asyncio.Task[T]) -> None:
        self._going_on.discard(job)
        if self._jobs.get(key) is job:
            del self._jobs[key]

    def remember(self, digests: Mapping[str, str]) -> None:
        """Remember the digests of images, by key, of a task that was done too late."""
        for address, digest in digests.items():
            self._image_digests[address] = digest
            self._image_digests.move_to_end(address)
        while len(self._image_digests) > MAX_REMEMBERED_IMAGES:
            self._image_digests.popitem(last=False)

    def recall(self, address: str) -> str | None:
        """Return the digest that is remembered for an image, or None."""
        return self._image_digests.get(address)

    def forget(self, digests: Mapping[str, str]) -> None:
        """Forget the images of a task that was answered in time. Hosts are asked about them next time, since images change."""
        for address in digests:
            self._image_digests.pop(address, None)

    async def cancel(self) -> None:
        """Cancel all jobs."""
        jobs = list(self._going_on)
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)


class Batch(Generic[T]):
    """The jobs of one request, started in their order, at most :data:`MAX_TASKS_AT_ONCE` at once.

    Args:
        background: has the running jobs of earlier requests, which are joined and not started again.
        keys: of the jobs; equal keys have equal results.
        start: gives the work of the job at a position.
    """

    def __init__(
        self, background: BackgroundWork[T], keys: Sequence[str], start: Callable[[int], Coroutine[Any, Any, T]]
    ) -> None:
        self._background = background
        self._keys = keys
        self._start = start
        self._results: list[T | None] = [None] * len(keys)
        self._own: dict[asyncio.Task[T], str] = {}  # started here and not done
        self._joined: set[asyncio.Task[T]] = set()
        self._error: BaseException | None = None
        self._started = 0
        self._overdue = False
        self._window = asyncio.Semaphore(MAX_TASKS_AT_ONCE)

    async def results(self, seconds: float | None) -> list[T | None]:
        """Return the results by position, with None for jobs that are not done after some seconds. Those go on, or will be begun."""
        working = asyncio.create_task(self._work())
        try:
            await asyncio.wait([working], timeout=seconds)
        except asyncio.CancelledError:
            for job in (working, *self._own):  # other requests may wait for the joined ones
                job.cancel()
            raise
        if self._error is not None:
            working.cancel()
            raise self._error
        if working.done():
            working.result()
        else:
            self._overdue = True
            for job, key in self._own.items():
                self._background.keep(key, job)
            self._background.postpone(self._keys[self._started :], working)
        return list(self._results)

    async def _work(self) -> None:
        for position, key in enumerate(self._keys):
            if position % TASKS_PER_TURN == 0:
                await asyncio.sleep(0)
            await self._window.acquire()
            self._started = position + 1
            if not self._background.take(key) and self._overdue:  # a later request has started it
                self._window.release()
                continue
            job = self._background.job(key)
            if job is None:
                job = asyncio.create_task(self._start(position))
                self._own[job] = key
                if self._overdue:
                    self._background.keep(key, job)
            else:
                self._joined.add(job)
            job.add_done_callback(partial(self._end, position))
        while unfinished := {*self._own, *self._joined}:
            await asyncio.wait(unfinished)

    def _end(self, position: int, job: asyncio.Task[T]) -> None:
        self._own.pop(job, None)
        self._joined.discard(job)
        self._window.release()
        if job.cancelled():
            return
        self._error = self._error or job.exception()
        if self._error is None:
            self._results[position] = job.result()
