"""The scenes of a running service: Prelabel beside the peer (`peer.py`) and the limits (`limits.py`), in turns within one run."""

import statistics
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from limits import Limit, TensorFlowLimits, limit
from servers import FileServer, family, memory, predict
from table import Line, Table, Target

from ml_backend.settings import Settings

MEGABYTE = 1_000_000
BATCH = 25  # tasks in a request
PRECISIONS: tuple[str, ...] = get_args(Settings.model_fields["precision"].annotation)

Ask = Callable[[str, list[str]], float]  # an address and images to seconds


@dataclass(frozen=True)
class Sides:
    """The sides of a comparison: addresses of Prelabel and of the peer, the limits, the images, and how often each scene is measured."""

    model: str
    ours: str
    pid: int
    peer: str
    tensorflow: TensorFlowLimits
    alone: Limit
    files: FileServer
    rounds: int
    table: Table

    def warm_up(self) -> None:
        """Give everybody connections, threads and caches of their own."""
        for url in (self.ours, self.peer):
            at_once(url, self.files.new(16), 8)


def at_once(url: str, images: Sequence[str], clients: int) -> float:
    """Request images one by one, with so many clients at the same time; returns the seconds for all."""
    with ThreadPoolExecutor(clients) as pool:
        started = time.perf_counter()
        list(pool.map(lambda image: predict(url, [image]), images))
        return time.perf_counter() - started


def in_batches(url: str, images: Sequence[str]) -> float:
    """Request images, :data:`BATCH` in each request, one request after the other; returns the seconds for all."""
    return sum(predict(url, images[start : start + BATCH]) for start in range(0, len(images), BATCH))


def ratios(others: Sequence[float], ours: Sequence[float]) -> list[float]:
    """Return how many times the second is as fast, by round, of seconds."""
    return [other / our for other, our in zip(others, ours, strict=True)]


def model_alone(sides: Sides, images: int = 100) -> None:
    """Compare the runtimes, and each other precision with f32. Processes of other precisions live only meanwhile."""
    tensorflow, ours = [], []
    for _ in range(sides.rounds):
        tensorflow.append(sides.tensorflow.many.seconds(images))
        ours.append(sides.alone.seconds(images))
    note = f"{images / statistics.median(ours):.1f} images/s, TensorFlow {images / statistics.median(tensorflow):.1f}"
    threads = f"{sides.tensorflow.many.name}, {sides.tensorflow.many.callers} callers"
    figures = ratios(tensorflow, ours)
    sides.table.add(Line("model alone, f32 / TensorFlow", figures, Target("at least", 1.6), note=f"{note} ({threads})"))
    for precision in [each for each in PRECISIONS if each != "f32"]:
        times = []
        try:
            with limit(sides.model, sides.files.photographs, precision=precision) as other:
                for _ in range(sides.rounds):
                    f32 = sides.alone.seconds(images)
                    times.append(f32 / other.seconds(images))
        except EOFError:
            print(f"no {precision}: the model cannot be loaded with it")
            continue
        sides.table.add(Line(f"model alone, {precision} / f32", times))


def new_tasks(sides: Sides) -> None:
    """Compare the rates of new photographs, 25 in a request and of 8 clients, with the limits and with the peer."""
    _rates(sides, "25 new tasks in a request", 3 * BATCH, in_batches, {"TensorFlow": 1.35, "floor": 0.85})
    _rates(sides, "8 clients", 96, lambda url, images: at_once(url, images, 8), {"TensorFlow": 1.25, "the peer": 2.4})


def _rates(sides: Sides, scene: str, images: int, ask: Ask, targets: dict[str, float]) -> None:
    seconds: dict[str, list[float]] = {"TensorFlow": [], "floor": [], "the peer": []}
    ours = []
    for _ in range(sides.rounds):
        seconds["TensorFlow"].append(sides.tensorflow.many.seconds(images))
        seconds["floor"].append(sides.alone.seconds_with_decoding(images))
        ours.append(ask(sides.ours, sides.files.new(images)))
        seconds["the peer"].append(ask(sides.peer, sides.files.new(images)))
    names = {"TensorFlow": "model alone in TensorFlow", "floor": "decoding and model alone", "the peer": "the peer"}
    for side, times in seconds.items():
        bound = targets.get(side)
        target = None if bound is None else Target("at least", bound)
        note = f"{images / statistics.median(ours):.1f} images/s, {names[side]} {images / statistics.median(times):.1f}"
        sides.table.add(Line(f"{scene} / {names[side]}", ratios(times, ours), target, note=note))


def one_new(sides: Sides) -> None:
    """Compare the time of one new task with that of one run in TensorFlow."""
    runs, ours, peer = [], [], []
    for _ in range(sides.rounds * 4):
        runs.append(sides.tensorflow.one.seconds(1, callers=1))
        ours.append(predict(sides.ours, sides.files.new(1)))
        peer.append(predict(sides.peer, sides.files.new(1)))
    note = f"{_ms(ours)}, {sides.tensorflow.one.name} {_ms(runs)}, the peer {_ms(peer)}"
    shares = ratios(ours, runs)
    sides.table.add(Line("time of one new task / of one run in TensorFlow", shares, Target("below", 1), note=note))


def one_known(sides: Sides) -> None:
    """Compare one task that both have seen before."""
    image = sides.files.new(1)
    ours, peer = [], []
    for number in range(sides.rounds * 4 + 1):
        pair = predict(sides.ours, image), predict(sides.peer, image)
        if number:
            ours.append(pair[0])
            peer.append(pair[1])
    note = f"{_ms(ours)}, the peer {_ms(peer)}"
    sides.table.add(
        Line("one cached task / the peer's repeat", ratios(peer, ours), Target("at least", 20), note=note, digits=1)
    )


def many_known(sides: Sides) -> None:
    """Request 300 tasks that are cached."""
    images = sides.files.new(300)
    predict(sides.ours, images)
    each = [predict(sides.ours, images) * 1e3 / len(images) for _ in range(sides.rounds)]
    sides.table.add(Line("300 cached tasks in a request", each, Target("at most", 0.3), "ms a task"))


def large(sides: Sides, kind: str, times: float) -> None:
    """Compare one new large image with the peer."""
    ours, peer = [], []
    for _ in range(sides.rounds * 2):
        ours.append(predict(sides.ours, sides.files.new(1, kind)))
        peer.append(predict(sides.peer, sides.files.new(1, kind)))
    scene = f"one new {kind.removesuffix('mp')}-megapixel JPEG / the peer"
    note = f"{_ms(ours)}, the peer {_ms(peer)}"
    sides.table.add(Line(scene, ratios(peer, ours), Target("at least", times), note=note))


def growth(sides: Sides) -> None:
    """Look whether the time a task rises with the number of tasks in a request."""
    each = {
        size: [predict(sides.ours, sides.files.new(size)) * 1e3 / size for _ in range(repeats)]
        for size, repeats in ((1, 9), (10, 9), (100, 3), (1_000, 1))
    }
    middle = {size: statistics.median(times) for size, times in each.items()}
    note = ", ".join(f"{size:,}: {time:.1f}" for size, time in middle.items()) + " ms a task"
    rise = [middle[1_000] / time for time in each[100]]
    sides.table.add(Line("1,000 new tasks in a request / 100, a task", rise, Target("at most", 1.1), note=note))


def peak_memory(sides: Sides) -> None:
    """Look how far the memory of all processes rises with eight clients of large images."""
    idle = sum(memory(pid, "status", "VmRSS") for pid in family(sides.pid))
    for pid in family(sides.pid):
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak is that since now (Linux, proc(5))
    at_once(sides.ours, sides.files.new(32, "24mp"), 8)
    above = sum(memory(pid, "status", "VmHWM") for pid in family(sides.pid)) - idle
    scene, note = "peak memory, 8 clients of 24-megapixel JPEGs", f"above {idle / MEGABYTE:.0f} MB of the idle server"
    sides.table.add(Line(scene, [above / MEGABYTE], Target("at most", 500), "MB", note, 0))


@contextmanager
def health_watched(sides: Sides) -> Iterator[None]:
    """Request ``/health`` twenty times a second while the block lasts, and add the line of it."""
    done = threading.Event()
    taken: list[float] = []

    def ask() -> None:
        while not done.wait(0.05):
            started = time.perf_counter()
            with urllib.request.urlopen(f"{sides.ours}/health", timeout=60) as answer:
                answer.read()
            taken.append((time.perf_counter() - started) * 1e3)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        done.set()
        asking.join()
    p99 = statistics.quantiles(taken, n=100)[98]
    note = f"longest {max(taken):.0f} ms of {len(taken):,} answers"
    sides.table.add(Line("`/health` p99 meanwhile", [p99], Target("below", 100), "ms", note, 0))


def _ms(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds) * 1e3:.1f} ms"
