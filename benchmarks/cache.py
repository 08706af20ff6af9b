"""Time of requests with cached detections, by number of tasks; time of reads, by number of entries; and bytes per entry.

Run it with `make bench`; `docs/cache.md` has the figures. The rows of Redis need a redis-server on PATH.
"""

import asyncio
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from servers import detector, file_server, free_port, predict, prelabel

from ml_backend.cache.envelope import Entry, seal
from ml_backend.cache.stores.redis import RedisStore
from ml_backend.cache.stores.sqlite import SqliteStore
from ml_backend.cache.stores.store import Store
from ml_backend.pipeline.cache_keys import DETECTIONS, result_key

SIZES = (1, 10, 100, 1_000)
ENTRIES = (1_000, 100_000)
ENTRY_BYTES = 2_200  # of a photograph's detections, on average
REPEATS = 7


@contextlib.contextmanager
def redis() -> Iterator[str | None]:
    """Run a Redis server, if there is one; gives its address."""
    binary = shutil.which("redis-server")
    if binary is None:
        yield None
        return
    port = free_port()
    process = subprocess.Popen([binary, "--port", str(port), "--save", ""], stdout=subprocess.DEVNULL)
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait()


def growth(settings: dict[str, str], name: str, images: list[str]) -> None:
    """Print the time of requests of several sizes, with and without the memory tier."""
    for memory, room in (("in memory", "64MB"), (f"in {name}", "0")):
        with prelabel(**settings, PRELABEL_CACHE_MEMORY_BYTES=room) as (url, _):
            predict(url, images)
            for size in SIZES:
                taken = [predict(url, images[:size]) * 1e3 for _ in range(REPEATS)]
                median = statistics.median(taken)
                print(f"| {memory} | {size} | {median:.1f} | {max(taken):.1f} | {median / size:.2f} |")
            with urllib.request.urlopen(f"{url}/status", timeout=60) as answer:
                if json.load(answer)["model_runs"]["detector"] > len(images):
                    raise RuntimeError("the model ran for a cached image")


async def fullness(store: Store) -> None:
    """Print the time of reads and the bytes per entry, as a store fills."""
    before = (await store.usage()).room
    written = 0
    for count in ENTRIES:
        while written < count:
            portion = [
                result_key(DETECTIONS, "f" * 64, "2-640", f"{number:064x}")
                for number in range(written, min(written + 1_000, count))
            ]
            await store.write({key: seal(key, Entry(os.urandom(ENTRY_BYTES), 2**31)) for key in portion})
            written += len(portion)
        usage = await store.usage()
        one, many = [], []
        for turn in range(200):
            keys = [
                result_key(DETECTIONS, "f" * 64, "2-640", f"{(turn * 7919 + n * 104729) % count:064x}")
                for n in range(300)
            ]
            started = time.perf_counter()
            await store.read(keys[:1])
            one.append(time.perf_counter() - started)
            if turn % 10 == 0:
                started = time.perf_counter()
                await store.read(keys)
                many.append(time.perf_counter() - started)
        print(
            f"| {store.name} | {count:,} | {statistics.median(one) * 1e3:.2f} | {statistics.median(many) * 1e3:.1f} "
            f"| {(usage.room - before) / count:,.0f} |"
        )
    await store.close()


def main() -> None:
    """Measure."""
    with redis() as redis_url, tempfile.TemporaryDirectory() as folder, file_server() as files:
        images = files.new(max(SIZES))
        given = {"PRELABEL_MODEL": detector(Path(folder)), "LABEL_STUDIO_URL": files.url, "LABEL_STUDIO_API_KEY": "any"}
        print("\n| detections | tasks in one request | median ms | longest ms | ms a task |\n|---|---|---|---|---|")
        growth(given | {"PRELABEL_CACHE_FILE": f"{folder}/served"}, "SQLite", images)
        if redis_url:
            growth(given | {"REDIS_URL": redis_url}, "Redis", images)
        print(
            "\n| store | entries | read 1, median ms | read 300, median ms | bytes per entry |\n|---|---|---|---|---|"
        )
        asyncio.run(fullness(SqliteStore(Path(folder) / "full", 10**10)))
        if redis_url:
            asyncio.run(fullness(RedisStore(redis_url, ttl=None, timeout=5)))


if __name__ == "__main__":
    main()
