import asyncio

import pytest
from waiting import until

from ml_backend.pipeline import background
from ml_backend.pipeline.background import BackgroundWork, Batch


async def test_job_is_found_until_it_is_done() -> None:
    """By its name, and once."""
    work: BackgroundWork[int] = BackgroundWork()
    done = asyncio.Event()

    async def wait() -> int:
        await done.wait()
        return 1

    job = asyncio.create_task(wait())
    work.keep("a", job)
    assert work.job("a") is job
    assert work.job("b") is None
    done.set()
    await job
    await asyncio.sleep(0)
    assert work.job("a") is None


async def test_cancel_ends_all_jobs() -> None:
    """And waits until they are."""
    work: BackgroundWork[None] = BackgroundWork()
    jobs = [asyncio.create_task(asyncio.sleep(60)) for _ in range(3)]
    for number, job in enumerate(jobs):
        work.keep(str(number), job)
    await work.cancel()
    assert all(job.cancelled() for job in jobs)


async def test_jobs_of_one_name_are_both_held() -> None:
    """One request can hold the same task twice; both end when all do."""
    work: BackgroundWork[None] = BackgroundWork()
    jobs = [asyncio.create_task(asyncio.sleep(60)) for _ in range(2)]
    for job in jobs:
        work.keep("a", job)
    await work.cancel()
    assert all(job.cancelled() for job in jobs)
    assert work.job("a") is None


async def test_batch_keeps_few_jobs_going_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results stand by position, and a bounded number of jobs is begun and not done."""
    monkeypatch.setattr(background, "MAX_TASKS_AT_ONCE", 3)
    going_on, most = 0, 0

    async def work(place: int) -> int:
        nonlocal going_on, most
        going_on += 1
        most = max(most, going_on)
        await asyncio.sleep(0)
        going_on -= 1
        return place

    batch = Batch(BackgroundWork[int](), [str(place) for place in range(200)], work)
    assert await batch.results(None) == list(range(200))
    assert most == 3


async def test_jobs_that_are_not_begun_in_time_are_begun_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole request goes on, so that the next one finds it done."""
    monkeypatch.setattr(background, "MAX_TASKS_AT_ONCE", 2)
    work: BackgroundWork[int] = BackgroundWork()
    open_now = asyncio.Event()
    begun: list[int] = []

    async def held(place: int) -> int:
        begun.append(place)
        await open_now.wait()
        return place

    batch = Batch(work, list("abcdef"), held)
    assert await batch.results(0.1) == [None] * 6
    assert begun == [0, 1]
    open_now.set()
    await until(lambda: len(begun) == 6)


async def test_later_request_takes_jobs_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pressing again begins nothing twice: jobs that go on are joined, and those that were put off are taken."""
    monkeypatch.setattr(background, "MAX_TASKS_AT_ONCE", 2)
    work: BackgroundWork[int] = BackgroundWork()
    doors = [asyncio.Event(), asyncio.Event()]
    begun: list[int] = []

    async def held(place: int) -> int:
        begun.append(place)
        await doors[place // 2].wait()
        return place

    await Batch(work, list("abcd"), held).results(0.1)
    again = asyncio.create_task(Batch(work, list("abcd"), held).results(None))
    await asyncio.sleep(0.1)  # for it to join
    doors[0].set()
    await until(lambda: len(begun) == 4)
    doors[1].set()
    assert await again == [0, 1, 2, 3]
    assert sorted(begun) == [0, 1, 2, 3]


async def test_error_of_a_batch_is_raised() -> None:
    """A job that fails in a way that nobody foresaw is not taken for one that is late."""

    async def fail(_: int) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Batch(BackgroundWork[int](), ["a"], fail).results(None)
