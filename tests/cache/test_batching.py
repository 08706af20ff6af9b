import asyncio
from collections.abc import Collection, Mapping

import pytest

from ml_backend.cache.batching import MAX_KEYS, MAX_WAITING, BatchedReads, BatchedWrites
from ml_backend.errors import CacheError


class Reads:
    """Remembers what was asked for at once; knows every key but `none`, and fails while it is told to."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.failing = False

    async def __call__(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """Answer after a while."""
        self.asked.append(list(keys))
        await asyncio.sleep(0.01)
        if self.failing:
            raise ConnectionError("gone")
        return {key: key.encode() for key in keys if key != "none"}


async def test_who_asks_at_the_same_time_shares_a_round_trip() -> None:
    """300 tasks of one request cost one; a key that two want is asked for once."""
    reads = Reads()
    batched = BatchedReads(reads)
    keys = [*(str(n) for n in range(300)), "none", "7"]
    found = await asyncio.gather(*(batched.get(key) for key in keys))
    assert found == [None if key == "none" else key.encode() for key in keys]
    assert [len(each) for each in reads.asked] == [301]


async def test_who_comes_while_a_read_goes_on_shares_the_next() -> None:
    """Nobody waits for a third."""
    reads = Reads()
    batched = BatchedReads(reads)
    first = asyncio.create_task(batched.get("a"))
    await asyncio.sleep(0.005)
    later = [asyncio.create_task(batched.get(key)) for key in "bcd"]
    assert [await task for task in (first, *later)] == [b"a", b"b", b"c", b"d"]
    assert reads.asked == [["a"], ["b", "c", "d"]]


async def test_one_read_has_a_bound() -> None:
    """50,000 tasks are no answer of 100 MB."""
    reads = Reads()
    batched = BatchedReads(reads)
    await asyncio.gather(*(batched.get(str(n)) for n in range(2 * MAX_KEYS + 1)))
    assert [len(each) for each in reads.asked] == [MAX_KEYS, MAX_KEYS, 1]


async def test_error_reaches_every_caller_of_the_batch() -> None:
    """And the next read is a new one."""
    reads = Reads()
    batched = BatchedReads(reads)
    reads.failing = True
    outcomes = await asyncio.gather(*(batched.get(key) for key in "ab"), return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["gone", "gone"]
    reads.failing = False
    assert await batched.get("a") == b"a"


async def test_cancelled_caller_takes_nothing_from_the_others() -> None:
    """Two want the same key; one goes away."""
    batched = BatchedReads(Reads())
    leaving, staying = (asyncio.create_task(batched.get("a")) for _ in range(2))
    await asyncio.sleep(0.005)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert await staying == b"a"


class Writes:
    """Remembers the keys of each write; blocks while it is held, and fails while it is told to."""

    def __init__(self) -> None:
        self.written: list[list[str]] = []
        self.free = asyncio.Event()
        self.failing = False

    async def __call__(self, entries: Mapping[str, bytes]) -> None:
        """Write when it may."""
        await self.free.wait()
        if self.failing:
            raise CacheError("gone")
        self.written.append(list(entries))


async def test_entries_added_while_a_write_runs_share_the_next() -> None:
    """The callers do not wait; a flush does."""
    writes = Writes()
    batched = BatchedWrites(writes)
    await batched.add({"a": b"1"}, wait=False)
    await asyncio.sleep(0)  # the first write begins
    for key in "bcd":
        await batched.add({key: b"2"}, wait=False)
    assert (writes.written, list(batched.waiting)) == ([], ["b", "c", "d"])
    writes.free.set()
    await batched.flush()
    assert (writes.written, dict(batched.waiting)) == ([["a"], ["b", "c", "d"]], {})


async def test_caller_that_waits_returns_after_its_write() -> None:
    """As where a lock is released afterwards. A failed write has been counted, and the next one is tried."""
    writes = Writes()
    batched = BatchedWrites(writes)
    writes.failing = True
    writes.free.set()
    await batched.add({"a": b"1"}, wait=True)
    writes.failing = False
    await batched.add({"b": b"1"}, wait=True)
    assert writes.written == [["b"]]


async def test_write_that_breaks_does_not_hold_up_the_next() -> None:
    """An error that no store should raise reaches the caller that waits; entries that were added meanwhile are written."""
    writes = Writes()
    written: list[list[str]] = []

    async def write(entries: Mapping[str, bytes]) -> None:
        await writes.free.wait()
        if "broken" in entries:
            raise ZeroDivisionError
        written.append(list(entries))

    batched = BatchedWrites(write)
    first = asyncio.create_task(batched.add({"broken": b""}, wait=True))
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # its write begins
    await batched.add({"a": b""}, wait=False)
    writes.free.set()
    with pytest.raises(ZeroDivisionError):
        await first
    await batched.flush()
    assert (written, dict(batched.waiting)) == ([["a"]], {})


async def test_number_of_waiting_entries_has_a_bound() -> None:
    """Where the store is slower than the models, callers wait for it."""
    writes = Writes()
    batched = BatchedWrites(writes)
    await batched.add({"first": b""}, wait=False)
    await asyncio.sleep(0)  # its write begins
    for number in range(MAX_WAITING):
        await batched.add({str(number): b""}, wait=False)
    last = asyncio.create_task(batched.add({"one more": b""}, wait=False))
    await asyncio.wait([last], timeout=0.05)
    assert not last.done()
    writes.free.set()
    await last
