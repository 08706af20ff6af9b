import numpy as np
import pytest

from ml_backend.cache import MemoryCache
from ml_backend.cache.memory import ENTRY_OVERHEAD
from ml_backend.detections import Detections


def one(score: float) -> Detections:
    """Return one detection that its score tells from others."""
    return Detections(
        boxes=np.zeros((1, 4), np.float32),
        scores=np.array([score], np.float32),
        class_names=("Car",),
        class_mids=("/m/0k4j",),
        width=1,
        height=1,
    )


async def test_what_is_put_is_got() -> None:
    """And what was never put is None."""
    cache = MemoryCache(10_000)
    await cache.put("a", one(0.5))
    found = await cache.get("a")
    assert found is not None
    assert found.scores.tolist() == [0.5]
    assert await cache.get("b") is None


async def test_least_recently_used_goes_first() -> None:
    """A look counts as use."""
    cache = MemoryCache(2 * (len(one(0.5).to_bytes()) + ENTRY_OVERHEAD))
    await cache.put("a", one(0.1))
    await cache.put("b", one(0.2))
    await cache.get("a")
    await cache.put("c", one(0.3))
    assert [key for key in "abc" if await cache.get(key) is not None] == ["a", "c"]


@pytest.mark.parametrize("room", [0, 100, 5_000])
async def test_bytes_are_bounded(room: int) -> None:
    """However much is put, and again under the same key."""
    cache = MemoryCache(room)
    for number in range(100):
        await cache.put(str(number % 30), one(0.5))
        assert cache.used_bytes <= room
    assert (len(cache) > 0) == (room == 5_000)
