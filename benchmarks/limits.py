"""The limits: models alone, on photographs that are decoded already, and decoding and the model by Prelabel's own code.

Each limit is a process of its own, which sleeps between the measurements, so that it takes nothing from the servers. TensorFlow takes its
threads once a process, so each number of threads is another one; the fastest stays.
"""

import contextlib
import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal, NamedTuple

from ml_backend.settings import available_cpus, load_settings

Work = Literal["model", "decoding and model"]
TRIALS, TRIAL = 3, 40  # rounds, and images of each, to find the fastest threads


class Question(NamedTuple):
    """What a process is asked to do."""

    work: Work
    images: int
    callers: int


@dataclass(frozen=True)
class Limit:
    """A model in a process of its own.

    Attributes:
        name: of the library, the precision and the threads, for people.
        pid: of the process.
        callers: that ask at the same time where a call names no number.
    """

    name: str
    pid: int
    callers: int
    _connection: Connection

    def seconds(self, images: int, callers: int = 0) -> float:
        """Return how long the model takes for so many photographs, with so many callers at once."""
        return self._ask(Question("model", images, callers or self.callers))

    def seconds_with_decoding(self, images: int) -> float:
        """Return how long decoding and the model take."""
        return self._ask(Question("decoding and model", images, self.callers))

    def _ask(self, question: Question) -> float:
        self._connection.send(question)
        seconds: float = self._connection.recv()
        return seconds


@dataclass(frozen=True)
class TensorFlowLimits:
    """The model alone in TensorFlow: the fastest threads for many images, and those for one."""

    many: Limit
    one: Limit


@contextmanager
def limit(
    model: str, photographs: Path, runtime: str | None = None, precision: str = "f32", threads: int = 0
) -> Iterator[Limit]:
    """Load a detector in another process until the block ends.

    Args:
        model: its handle.
        photographs: folder of image files.
        runtime: a name of ``RUNTIMES``; by default that of the settings, with as many callers as Prelabel has workers.
        precision: of the computation.
        threads: of TensorFlow for one run; 0 for Prelabel's own setting.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    settings = load_settings()
    name = f"{runtime or settings.runtime} {precision}" + (f", threads a run: {threads}" if threads else "")
    given = (model, photographs, runtime or settings.runtime, precision, threads)
    process = context.Process(target=_serve, args=(theirs, *given), daemon=True)
    process.start()
    theirs.close()
    try:
        ours.recv()
        yield Limit(name, process.pid or 0, settings.inference_workers, ours)
    finally:
        process.kill()
        process.join()


@contextmanager
def tensorflow_limits(model: str, photographs: Path) -> Iterator[TensorFlowLimits]:
    """Try TensorFlow with one thread a run and with all, and with several callers, and keep the fastest until the block ends."""
    cpus = available_cpus()
    with contextlib.ExitStack() as stack:
        tried = {}
        for threads in sorted({1, cpus}):
            opened = stack.enter_context(contextlib.ExitStack())
            tried[opened] = opened.enter_context(limit(model, photographs, "tensorflow", threads=threads))
        seconds = {
            (opened, callers): min(each.seconds(TRIAL, callers) for _ in range(TRIALS))
            for opened, each in tried.items()
            for callers in sorted({1, cpus, cpus + 1})
        }
        many, callers = min(seconds, key=lambda choice: seconds[choice])
        one = min(tried, key=lambda opened: seconds[opened, 1])
        for opened in set(tried) - {many, one}:
            opened.close()
        yield TensorFlowLimits(replace(tried[many], callers=callers), tried[one])


def _serve(connection: Connection, model: str, photographs: Path, runtime: str, precision: str, threads: int) -> None:
    from ml_backend.images.decoding.decode import decode
    from ml_backend.inference.detector import Detector

    settings = load_settings()
    workers = settings.inference_workers
    if threads:
        from ml_backend.inference.runtimes.tensorflow import tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(workers)
        tf.constant(0)  # from now on, the threads stay as they are
    detector = Detector.load(model, settings.tfhub_cache_dir, workers=workers, runtime=runtime, precision=precision)
    files = [path.read_bytes() for path in sorted(photographs.iterdir())]
    side = settings.model_input_max_side
    pixels = [decode(file, max_pixels=10**8, max_side=side).pixels for file in files]

    def run(number: int) -> None:
        detector.function(pixels[number % len(pixels)])

    def decode_and_run(number: int) -> None:
        image = decode(files[number % len(files)], max_pixels=10**8, max_side=side)
        detector.run(image.pixels, (image.width, image.height))

    def seconds(work: Callable[[int], None], images: int, callers: int) -> float:
        with ThreadPoolExecutor(callers) as pool:
            started = time.perf_counter()
            list(pool.map(work, range(images)))
            return time.perf_counter() - started

    works: dict[Work, Callable[[int], None]] = {"model": run, "decoding and model": decode_and_run}
    for work in works.values():
        seconds(work, 3 * workers, workers)
    connection.send(None)
    with contextlib.suppress(EOFError):
        while True:
            question: Question = connection.recv()
            connection.send(seconds(works[question.work], question.images, question.callers))
