import asyncio

import pytest

from ml_backend import late
from ml_backend.late import LateWork


async def test_job_is_found_until_it_is_done() -> None:
    """By its name, and once."""
    work: LateWork[int] = LateWork(places=1)
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


async def test_late_work_shares_its_places_and_timely_work_needs_none() -> None:
    """Two late ones follow each other where there is one place; a timely one passes by."""
    work: LateWork[int] = LateWork(places=1)
    async with work.place(late=True):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), work.place(late=True):
                pass
        async with work.place(late=False):
            pass


def test_pictures_are_remembered_until_used_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are forgotten first."""
    monkeypatch.setattr(late, "PICTURES", 3)
    work: LateWork[int] = LateWork(places=1)
    work.remember({str(number): f"key {number}" for number in range(5)})
    assert [work.recall(str(number)) for number in range(5)] == [None, None, "key 2", "key 3", "key 4"]
    work.forget({"3": "key 3"})
    assert work.recall("3") is None


async def test_cancel_ends_all_jobs() -> None:
    """And waits until they are."""
    work: LateWork[None] = LateWork(places=1)
    jobs = [asyncio.create_task(asyncio.sleep(60)) for _ in range(3)]
    for number, job in enumerate(jobs):
        work.keep(str(number), job)
    await work.cancel()
    assert all(job.cancelled() for job in jobs)


async def test_jobs_of_one_name_are_both_held() -> None:
    """One request can hold the same task twice; both end when all do."""
    work: LateWork[None] = LateWork(places=1)
    jobs = [asyncio.create_task(asyncio.sleep(60)) for _ in range(2)]
    for job in jobs:
        work.keep("a", job)
    await work.cancel()
    assert all(job.cancelled() for job in jobs)
    assert work.job("a") is None
