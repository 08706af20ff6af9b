import asyncio

import pytest

from ml_backend.cache.single_flight import SingleFlight


class Work:
    """Counts its starts, and ends when the test says so."""

    def __init__(self) -> None:
        self.starts = 0
        self.may_end = asyncio.Event()

    async def __call__(self) -> int:
        """Return which start this was."""
        self.starts += 1
        start = self.starts
        await self.may_end.wait()
        return start


async def test_same_key_is_computed_once() -> None:
    """Ten callers at the same time share one computation."""
    flights: SingleFlight[int] = SingleFlight()
    work = Work()
    callers = [asyncio.create_task(flights.run("key", work)) for _ in range(10)]
    await asyncio.sleep(0)
    work.may_end.set()
    assert await asyncio.gather(*callers) == [1] * 10


async def test_next_caller_after_the_end_starts_anew() -> None:
    """It is no cache."""
    flights: SingleFlight[int] = SingleFlight()
    work = Work()
    work.may_end.set()
    assert [await flights.run("key", work), await flights.run("key", work)] == [1, 2]


async def test_keys_do_not_wait_for_each_other() -> None:
    """Two pictures are two computations."""
    flights: SingleFlight[int] = SingleFlight()
    slow, quick = Work(), Work()
    quick.may_end.set()
    waiting = asyncio.create_task(flights.run("slow", slow))
    assert await flights.run("quick", quick) == 1
    slow.may_end.set()
    await waiting


async def test_cancelled_caller_takes_nothing_from_the_others() -> None:
    """The computation goes on for those who stay."""
    flights: SingleFlight[int] = SingleFlight()
    work = Work()
    first, second = (asyncio.create_task(flights.run("key", work)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    work.may_end.set()
    assert await second == 1


async def test_error_reaches_every_caller_and_is_forgotten() -> None:
    """The next one starts anew."""
    flights: SingleFlight[int] = SingleFlight()

    async def fail() -> int:
        await asyncio.sleep(0)
        raise ValueError("broken")

    outcomes = await asyncio.gather(*(flights.run("key", fail) for _ in range(3)), return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["broken"] * 3
    work = Work()
    work.may_end.set()
    assert await flights.run("key", work) == 1
