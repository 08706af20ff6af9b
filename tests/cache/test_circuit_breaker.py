import asyncio
from collections.abc import AsyncIterator

import pytest
from waiting import until

from ml_backend.cache import circuit_breaker as module
from ml_backend.cache.circuit_breaker import CircuitBreaker
from ml_backend.cache.stores.memory import MemoryStore
from ml_backend.cache.stores.store import StoreRefusedError, StoreUnavailableError


class Moody(MemoryStore):
    """A store whose mood the test sets; counts its calls."""

    mood = "well"
    calls = 0

    async def ping(self) -> None:
        """Answer as the mood is."""
        await self.read([])

    async def read(self, keys: object) -> dict[str, bytes]:
        """Answer as the mood is."""
        self.calls += 1
        if self.mood == "hanging":
            await asyncio.sleep(600)
        if self.mood == "away":
            raise StoreUnavailableError("gone")
        if self.mood == "refusing":
            raise StoreRefusedError("full")
        return {}


@pytest.fixture
async def store() -> Moody:
    """Give a store that can be moody."""
    return Moody(1000)


@pytest.fixture
async def breaker(store: Moody, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[CircuitBreaker]:
    """Give a breaker with a time limit of 0.1 s that probes every 0.1 s."""
    monkeypatch.setattr(module, "PROBE_EVERY", 0.1)
    made = CircuitBreaker(store, timeout=0.1)
    yield made
    await made.close()


async def test_hanging_store_costs_one_time_out(
    breaker: CircuitBreaker, store: Moody, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After it, 1,000 calls do not reach it."""
    monkeypatch.setattr(module, "PROBE_EVERY", 600)
    store.mood = "hanging"
    for _ in range(1_000):
        with pytest.raises(StoreUnavailableError):
            await breaker.call(lambda: store.read([]))
    assert store.calls == 1


async def test_it_closes_by_itself(breaker: CircuitBreaker, store: Moody) -> None:
    """A probe in the background finds out; who calls pays nothing for it."""
    store.mood = "away"
    with pytest.raises(StoreUnavailableError, match="gone"):
        await breaker.call(lambda: store.read([]))
    await until(lambda: store.calls > 3)
    assert breaker.is_open
    store.mood = "well"
    await until(lambda: not breaker.is_open)
    assert await breaker.call(lambda: store.read([])) == {}


async def test_refusal_is_an_answer(breaker: CircuitBreaker, store: Moody) -> None:
    """A refusal does not open the breaker: a store that is full can still be read."""
    store.mood = "refusing"
    for _ in range(3):
        with pytest.raises(StoreRefusedError):
            await breaker.call(lambda: store.read([]))
    assert store.calls == 3
    assert not breaker.is_open


async def test_changes_are_changes(store: Moody, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once each, however many calls fail together."""
    monkeypatch.setattr(module, "PROBE_EVERY", 0.05)
    changes: list[bool] = []
    breaker = CircuitBreaker(store, timeout=0.1, on_change=changes.append)
    store.mood = "hanging"
    await asyncio.gather(*(breaker.call(lambda: store.read([])) for _ in range(10)), return_exceptions=True)
    store.mood = "well"
    await until(lambda: not breaker.is_open)
    assert changes == [True, False]
    await breaker.close()


async def test_callers_own_cancellation_is_no_failure(store: Moody) -> None:
    """A request that goes away says nothing about the store."""
    store.mood = "hanging"
    breaker = CircuitBreaker(store, timeout=600)
    caller = asyncio.create_task(breaker.call(lambda: store.read([])))
    await until(lambda: store.calls)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert not breaker.is_open
    await breaker.close()
