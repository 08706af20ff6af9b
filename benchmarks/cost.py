"""The processor time of one new photograph, by process and by part of the service.

Counted by the kernel, so other work on the machine changes it little. The parts run one after the other on the same photographs, each
with Prelabel's own code and as many images at once as in a request; "the rest" is what the service takes beyond them. Run it with
`make bench`; `docs/benchmarks.md` has the figures.
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from limits import limit, tensorflow_limits
from scenes import BATCH, at_once, in_batches
from servers import CONFIG, FileServer, cpu_seconds, detector, family, file_server, prelabel

from ml_backend.cache.cache import Cache
from ml_backend.detections import Detections
from ml_backend.images.decoding.pool import DecoderPool, Limits
from ml_backend.images.fetch import ImageFetcher
from ml_backend.images.fetched import Fetched
from ml_backend.images.references import parse_reference
from ml_backend.inference.models import Models
from ml_backend.label_studio.connections import LabelStudios
from ml_backend.metrics import Metrics
from ml_backend.model_results import ModelResults
from ml_backend.pipeline.cache_keys import DETECTIONS, address_key, input_shaping, result_key
from ml_backend.pipeline.postprocessors import PostprocessorCache, no_overrides
from ml_backend.settings import Settings, available_cpus, load_settings

T = TypeVar("T")


def spent(pids: Iterable[int]) -> float:
    """Return the processor time of some processes so far, in seconds; of this one without rounding to the kernel's ticks of 10 ms."""
    return sum(time.process_time() if pid == os.getpid() else cpu_seconds(pid) for pid in pids)


def by_process(title: str, ask: Callable[[], object], images: int, processes: dict[str, list[int]]) -> dict[str, float]:
    """Print a row: images a second, ms an image of each process, and ms that no processor worked for them; returns the ms."""
    before = {name: spent(pids) for name, pids in processes.items()}
    started = time.perf_counter()
    ask()
    elapsed = time.perf_counter() - started
    ms = {name: (spent(pids) - before[name]) * 1e3 / images for name, pids in processes.items()}
    left = available_cpus() * elapsed * 1e3 / images - sum(ms.values())
    columns = [f"{ms[name]:.1f}" if name in ms else "" for name in COLUMNS]
    print(f"| {title} | {images / elapsed:.1f} | " + " | ".join(columns) + f" | {left:.1f} |", flush=True)
    return ms


COLUMNS = ("model or service", "decoders", "file server", "clients")


def processes(model: str, files: FileServer, settings: dict[str, str], images: int) -> dict[str, float]:
    """Print the table by process; returns the ms of the service and its decoders for 25 tasks in a request."""
    print(f"\n| {images} photographs | images/s | " + " | ".join(COLUMNS) + " | neither of them |")
    print("|---" * (len(COLUMNS) + 3) + "|")
    with tensorflow_limits(model, files.photographs) as tensorflow:
        alone = tensorflow.many
        by_process(f"model alone, {alone.name}", lambda: alone.seconds(images), images, {COLUMNS[0]: [alone.pid]})
    with limit(model, files.photographs) as ours:
        pids = {COLUMNS[0]: [ours.pid]}
        by_process("model alone", lambda: ours.seconds(images), images, pids)
        by_process("decoding and model alone", lambda: ours.seconds_with_decoding(images), images, pids)
    with prelabel(**settings) as (url, process):
        at_once(url, files.new(16), 8)
        service, *decoders = family(process.pid)
        pids = dict(zip(COLUMNS, ([service], decoders, [files.pid], [os.getpid()]), strict=True))
        scenes: dict[str, Callable[[str, list[str]], object]] = {
            "25 tasks in a request": in_batches,
            "8 clients": lambda url, images: at_once(url, images, 8),
        }
        found = [by_process(name, partial(ask, url, files.new(images)), images, pids) for name, ask in scenes.items()]
    return found[0]


class Parts:
    """Runs parts of the service and counts their processor time, in ms an image."""

    def __init__(self, images: int) -> None:
        self._images = images
        self.ms: dict[str, float] = {}

    async def run(self, name: str, work: Callable[[int], Awaitable[T]], pids: Iterable[int] = ()) -> list[T]:
        """Run a part on each image by its number; the time of processes ``pids`` counts too. Returns the results."""
        pids = [os.getpid(), *pids]
        before = spent(pids)
        found: list[T] = []
        for start in range(0, self._images, BATCH):
            found += await asyncio.gather(*map(work, range(start, min(start + BATCH, self._images))))
        self.ms[name] = (spent(pids) - before) * 1e3 / self._images
        return found


async def parts(files: FileServer, settings: Settings, images: int) -> dict[str, float]:
    """Return the ms of each part, in the order of the way of an image."""
    models = Models.load(settings)
    model = models.main
    postprocessors = PostprocessorCache(settings, models, no_overrides)
    postprocessor = await postprocessors.load(CONFIG, None)
    version, field = postprocessors.version_of(postprocessor), next(iter(postprocessor.needs))
    cache, side = Cache.from_settings(settings, Metrics()), settings.model_input_max_side
    label_studio = LabelStudios.from_settings(settings).configured
    addresses, count = files.new(images), Parts(images)
    with (
        ThreadPoolExecutor(settings.inference_workers) as pool,
        DecoderPool(Limits.from_settings(settings)) as decoders,
    ):

        async def in_worker(work: Callable[..., T], *arguments: Any) -> T:
            return await asyncio.get_running_loop().run_in_executor(pool, partial(work, *arguments))

        async with ImageFetcher.from_settings(settings) as fetcher:

            async def fetch(number: int) -> Fetched:
                fetched = await fetcher.fetch(parse_reference(addresses[number]), label_studio)
                assert fetched is not None  # noqa: S101 - no version is known
                return fetched

            fetched = await count.run("fetching, hashing", fetch)
        data = [each.data for each in fetched]
        shaping = input_shaping(side)
        keys = [result_key(DETECTIONS, model.fingerprint, shaping, each.version.digest) for each in fetched]

        async def read(number: int) -> None:
            await cache.get(address_key(addresses[number]), bytes)
            await cache.get(keys[number], Detections.from_bytes)

        await count.run("reading the cache", read)
        await asyncio.gather(*(in_worker(decoders.decode, each, side) for each in data[:16]))  # starts the processes
        processes = family(os.getpid())[1:]
        decoded = await count.run("decoding", lambda n: in_worker(decoders.decode, data[n], side), processes)
        for _ in range(2):  # the second time counts
            outputs = await count.run("model", lambda n: in_worker(model.function, decoded[n].pixels))

        async def detections_of(number: int) -> Any:
            return model.contract.read(outputs[number], decoded[number].width, decoded[number].height)

        results = await count.run("outputs to detections", detections_of)

        async def write(number: int) -> None:
            await cache.put({keys[number]: results[number].to_bytes()})
            await cache.put({address_key(addresses[number]): fetched[number].version.to_bytes()})

        await count.run("writing the cache", write)

        async def predict(number: int) -> Any:
            return postprocessor.predict(number, {field: [ModelResults(results[number])]}, version)

        predictions = await count.run("detections to regions", predict)

        async def encode(number: int) -> bytes:
            return msgspec.json.encode(predictions[number])

        await count.run("JSON", encode)
    await cache.close()
    return count.ms


def main() -> None:
    """Measure."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--images", type=int, default=500, help="how many photographs each figure is made of")
    images = options.parse_args().images
    with tempfile.TemporaryDirectory() as folder, file_server() as files:
        model = detector(Path(folder))
        shared = {"PRELABEL_MODEL": model, "LABEL_STUDIO_URL": files.url, "LABEL_STUDIO_API_KEY": "any"}
        total = processes(model, files, shared | {"PRELABEL_CACHE_FILE": f"{folder}/served"}, images)
        os.environ.update(shared, PRELABEL_CACHE_FILE=f"{folder}/parts")
        ms = asyncio.run(parts(files, load_settings(), images))
    print("\n| part of the service | ms an image |\n|---|---|")
    ms["the rest: HTTP, tasks, the event loop"] = total[COLUMNS[0]] + total[COLUMNS[1]] - sum(ms.values())
    for name, time_ms in ms.items():
        print(f"| {name} | {time_ms:.2f} |")


if __name__ == "__main__":
    main()
