"""The limit: the detector alone, on pictures that are decoded already, with as many callers as there are processors.

Runs in a process of its own, so that it takes nothing from the servers; idle between the measurements.
"""

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

CALLERS_OF_ALL = 0


class Limit:
    """Asks the process."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def seconds(self, pictures: int, callers: int = CALLERS_OF_ALL) -> float:
        """Return how long the model takes for so many photographs, with so many callers at once, or one per processor."""
        self._connection.send((pictures, callers))
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

    from ml_backend.detector.detector import Detector
    from ml_backend.detector.tensorflow_runtime import tf
    from ml_backend.images import decode
    from ml_backend.settings import Settings, available_cpus

    cpus = available_cpus()
    detector = Detector.load(model, Settings().tfhub_cache_dir, workers=cpus)
    pixels = [decode(path.read_bytes(), max_pixels=10**8).pixels for path in sorted(photographs.iterdir())]
    tensors = [tf.constant(np.divide(each[None], np.float32(255), dtype=np.float32)) for each in pixels]

    signature = detector.module.signatures[detector.contract.signature]

    def run(number: int) -> None:
        signature(**{detector.contract.input: tensors[number % len(tensors)]})

    with ThreadPoolExecutor(cpus) as pool:
        list(pool.map(run, range(3 * cpus)))
    connection.send(None)
    while True:
        count, callers = connection.recv()
        with ThreadPoolExecutor(callers or cpus) as pool:
            started = time.perf_counter()
            list(pool.map(run, range(count)))
            connection.send(time.perf_counter() - started)
