"""The limit: the detector alone, on pictures that are decoded already, with as many callers as there are processors.

And the floor: the same with decoding, by Prelabel's own code without anything around it.

Runs in a process of its own, so that it takes nothing from the servers; idle between the measurements.
"""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

ONE_EACH = 0  # callers: as many as processors


class Limit:
    """Asks the process."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def seconds(self, pictures: int, callers: int = ONE_EACH) -> float:
        """Return how long the model takes for so many photographs, with so many callers at once, or one per processor."""
        return self._ask(("model", pictures, callers))

    def seconds_with_decoding(self, pictures: int) -> float:
        """Return how long decoding and the model take, with as many callers as Prelabel has by default."""
        return self._ask(("decoding", pictures, 0))

    def _ask(self, question: tuple[str, int, int]) -> float:
        self._connection.send(question)
        seconds: float = self._connection.recv()
        return seconds


@contextmanager
def limit(model: str, photographs: Path) -> Iterator[Limit]:
    """Load a detector in another process until the block ends."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, model, photographs), daemon=True)
    process.start()
    ours.recv()
    try:
        yield Limit(ours)
    finally:
        process.kill()
        process.join()


def _serve(connection: Connection, model: str, photographs: Path) -> None:
    import numpy as np

    from ml_backend.images.decoding.decode import decode
    from ml_backend.inference.detector import Detector
    from ml_backend.inference.runtimes.tensorflow import tf
    from ml_backend.settings import Settings, available_cpus

    cpus, settings = available_cpus(), Settings()
    detector = Detector.load(model, settings.tfhub_cache_dir, workers=cpus)
    files = [path.read_bytes() for path in sorted(photographs.iterdir())]
    pixels = [decode(file, max_pixels=10**8).pixels for file in files]
    tensors = [tf.constant(np.divide(each[None], np.float32(255), dtype=np.float32)) for each in pixels]
    signature = detector.module.signatures[detector.contract.signature]

    def run(number: int) -> None:
        signature(**{detector.contract.input.name: tensors[number % len(tensors)]})

    def decode_and_run(number: int) -> None:
        data = files[number % len(files)]
        picture = decode(data, max_pixels=10**8, max_side=settings.model_input_max_side)
        detector.run(picture.pixels, (picture.width, picture.height))

    def seconds(work: Callable[[int], None], count: int, callers: int) -> float:
        with ThreadPoolExecutor(callers) as pool:
            started = time.perf_counter()
            list(pool.map(work, range(count)))
            return time.perf_counter() - started

    for work in (run, decode_and_run):
        seconds(work, 3 * cpus, cpus)
    connection.send(None)
    while True:
        what, count, callers = connection.recv()
        if what == "model":
            connection.send(seconds(run, count, callers or cpus))
        else:
            connection.send(seconds(decode_and_run, count, settings.inference_workers))
