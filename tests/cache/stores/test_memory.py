import gc
import os
import tracemalloc

from ml_backend.cache.stores.memory import MemoryStore


async def test_room_is_what_it_takes() -> None:
    """The overhead that is counted for each entry is the true one, to a tenth of the whole."""
    store = MemoryStore(100_000_000)
    gc.collect()
    tracemalloc.start()
    for number in range(10_000):
        await store.write({f"prelabel:detections:{'f' * 64}:2-640:{number:064}": os.urandom(2_000)})
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.9 < taken / (await store.usage()).room < 1.1
