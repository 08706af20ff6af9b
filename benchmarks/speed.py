"""Prelabel beside the peer (`peer.py`) and the limit (`model_only.py`): the same pictures, in turns, within one run.

Prints ratios with their spread, and the targets beside them. Run it with `make bench`; `docs/benchmarks.md` has the figures. Everything runs on this machine and shares its processors.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from model_only import Limit, limit
from servers import CONFIG, FileServer, detector, file_server, free_port, post, predict, prelabel, running, spread

from ml_backend.settings import available_cpus

MEGABYTE = 1_000_000
HERE = Path(__file__).parent


@dataclass
class Line:
    """One line of the table; ``bar`` is the ratio to the peer, for the plot."""

    scene: str
    target: str
    measured: str
    reached: bool
    bar: float | None = None


@dataclass
class Sides:
    """What is compared: addresses of Prelabel and of the peer, the limit, and where pictures come from."""

    ours: str
    peer: str
    limit: Limit
    files: FileServer
    rounds: int
    lines: list[Line] = field(default_factory=list)

    def add(self, line: Line) -> None:
        """Print a line and keep it."""
        self.lines.append(line)
        print(f"| {line.scene} | {line.target} | {line.measured} | {'yes' if line.reached else 'no'} |", flush=True)


def at_once(url: str, images: Sequence[str], clients: int) -> float:
    """Ask for pictures one by one, with so many clients at the same time; gives the seconds for all."""
    with ThreadPoolExecutor(clients) as pool:
        started = time.perf_counter()
        list(pool.map(lambda image: predict(url, [image]), images))
        return time.perf_counter() - started


def ratios(others: Sequence[float], ours: Sequence[float]) -> list[float]:
    """Return, round by round, how many times faster the second is."""
    return [other / our for other, our in zip(others, ours, strict=True)]


def throughput(
    sides: Sides, scene: str, pictures: int, ask: Callable[[str, list[str]], float], of_limit: float, of_peer: float
) -> None:
    """Compare the time for new pictures with the limit and with the peer."""
    ours, peer, alone, floor = [], [], [], []
    for _ in range(sides.rounds):
        alone.append(sides.limit.seconds(pictures))
        floor.append(sides.limit.seconds_with_decoding(pictures))
        ours.append(ask(sides.ours, sides.files.new(pictures)))
        peer.append(ask(sides.peer, sides.files.new(pictures)))
    share, times, bound = ratios(alone, ours), ratios(peer, ours), ratios(alone, floor)
    rates = [[pictures / seconds for seconds in each] for each in (ours, alone, peer)]
    sides.add(
        Line(
            scene,
            f"at least {of_limit:.2f} of the limit, {of_peer:g} x the peer",
            f"{spread(share, 2)} of the limit, {spread(times)} x the peer; decoding and model alone {spread(bound, 2)} of the limit; "
            f"{statistics.median(rates[0]):.1f} pictures/s, the limit {statistics.median(rates[1]):.1f}, the peer {statistics.median(rates[2]):.1f}",
            statistics.median(share) >= of_limit and statistics.median(times) >= of_peer,
            statistics.median(times),
        )
    )


def one_new(sides: Sides) -> None:
    """Compare the time of one new task with that of one run of the model."""
    above, ours, peer = [], [], []
    for _ in range(sides.rounds * 4):
        run = sides.limit.seconds(1, callers=1)
        ours.append(predict(sides.ours, sides.files.new(1)))
        peer.append(predict(sides.peer, sides.files.new(1)))
        above.append((ours[-1] - run) * 1e3)
    times = ratios(peer, ours)
    median = statistics.median(above)
    measured = f"{spread(above)} ms above; {statistics.median(ours) * 1e3:.1f} ms, {spread(times)} x the peer"
    sides.add(
        Line(
            "one new task, idle server",
            "at most 12 ms above one model run",
            measured,
            median <= 12,
            statistics.median(times),
        )
    )


def one_known(sides: Sides) -> None:
    """Compare one task that both have seen before."""
    image = sides.files.new(1)
    ours, peer = [], []
    for number in range(sides.rounds * 4 + 1):
        pair = predict(sides.ours, image), predict(sides.peer, image)
        if number:
            ours.append(pair[0] * 1e3)
            peer.append(pair[1] * 1e3)
    times = ratios(peer, ours)
    reached = statistics.median(ours) <= 6 and statistics.median(times) >= 15
    measured = f"{spread(ours)} ms, {spread(times, 0)} x the peer"
    sides.add(
        Line(
            "one cached task, same URL",
            "at most 6 ms, at least 15 x the peer",
            measured,
            reached,
            statistics.median(times),
        )
    )


def many_known(sides: Sides) -> None:
    """Ask for 300 tasks that are cached."""
    images = sides.files.new(300)
    predict(sides.ours, images)
    each = [predict(sides.ours, images) * 1e3 / len(images) for _ in range(sides.rounds)]
    sides.add(
        Line(
            "300 cached tasks in one request",
            "at most 1 ms a task",
            f"{spread(each, 2)} ms a task",
            statistics.median(each) <= 1,
        )
    )


def large(sides: Sides, kind: str, of_peer: float) -> None:
    """Compare one new large picture."""
    ours, peer = [], []
    for _ in range(sides.rounds * 2):
        ours.append(predict(sides.ours, sides.files.new(1, kind)))
        peer.append(predict(sides.peer, sides.files.new(1, kind)))
    times = ratios(peer, ours)
    measured = (
        f"{spread(times)} x; {statistics.median(ours) * 1e3:.0f} ms, the peer {statistics.median(peer) * 1e3:.0f} ms"
    )
    name = f"one {kind.removesuffix('mp')}-megapixel JPEG, new"
    sides.add(
        Line(
            name,
            f"at least {of_peer:g} x the peer",
            measured,
            statistics.median(times) >= of_peer,
            statistics.median(times),
        )
    )


def memory(sides: Sides, process: subprocess.Popen[bytes]) -> None:
    """Look how far the memory rises with eight clients of large pictures."""
    idle = resident(process, "VmRSS")
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # the peak is that since now (Linux, proc(5))
    at_once(sides.ours, sides.files.new(32, "24mp"), 8)
    above = (resident(process, "VmHWM") - idle) / MEGABYTE
    measured = f"{above:.0f} MB above {idle / MEGABYTE:.0f} MB"
    sides.add(
        Line(
            "peak memory, 8 clients x 24-megapixel JPEGs",
            "at most 500 MB above the idle server",
            measured,
            above <= 500,
        )
    )


def resident(process: subprocess.Popen[bytes], name: str) -> int:
    """Return a figure of a process's memory, in bytes."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def growth(sides: Sides) -> None:
    """Look whether the time for a task rises with the number of tasks in a request."""
    each = {size: predict(sides.ours, sides.files.new(size)) * 1e3 / size for size in (1, 10, 100, 1_000)}
    measured = ", ".join(f"{size}: {time:.1f}" for size, time in each.items()) + " ms a task"
    sides.add(
        Line(
            "requests of 1, 10, 100, 1,000 new tasks",
            "time a task does not rise",
            measured,
            each[1_000] <= each[10] * 1.1,
        )
    )


@contextmanager
def peer(model: str, folder: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run the peer; gives its address and process."""
    url = f"http://127.0.0.1:{free_port()}"
    served = ["--bind", url.removeprefix("http://"), "--workers", "1", "--threads", "8", "--timeout", "600", "peer:app"]
    command = [sys.executable, "-m", "gunicorn", "--chdir", str(HERE), *served]
    with running(command, f"{url}/health", PEER_MODEL=model, PEER_FILES=folder) as process:
        post(f"{url}/setup", {"project": "1.1", "schema": CONFIG})  # as Label Studio does; the runner insists on it
        yield url, process


def start(sides: Sides, model: str, folder: str) -> None:
    """Compare how long it takes from the start of a process to its first answer."""
    ours, theirs = [], []
    for _ in range(3):
        started = time.perf_counter()
        with prelabel(PRELABEL_MODEL=model, PRELABEL_CACHE="none") as (url, _):
            predict(url, sides.files.new(1))
            ours.append(time.perf_counter() - started)
        started = time.perf_counter()
        with peer(model, folder) as (url, _):
            predict(url, sides.files.new(1))
            theirs.append(time.perf_counter() - started)
    times = ratios(theirs, ours)
    measured = f"{spread(times, 2)} x; {statistics.median(ours):.1f} s, the peer {statistics.median(theirs):.1f} s"
    sides.add(
        Line("start to first answer, warm disk", "no slower than the peer", measured, statistics.median(times) >= 1)
    )


@contextmanager
def watched(url: str) -> Iterator[list[float]]:
    """Ask ``/health`` twenty times a second while the block lasts; gives the milliseconds that each answer took."""
    done = threading.Event()
    taken: list[float] = []

    def ask() -> None:
        while not done.wait(0.05):
            started = time.perf_counter()
            with urllib.request.urlopen(f"{url}/health", timeout=60) as answer:
                answer.read()
            taken.append((time.perf_counter() - started) * 1e3)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield taken
    finally:
        done.set()
        asking.join()


def plot(lines: Sequence[Line], path: Path) -> None:
    """Draw how many times faster than the peer each scene is."""
    from matplotlib import pyplot as plt

    bars = [(line.scene, line.bar) for line in lines if line.bar is not None][::-1]
    figure, axes = plt.subplots(figsize=(9, 3.2), layout="constrained")
    drawn = axes.barh([name for name, _ in bars], [bar - 1 for _, bar in bars], left=1, color="#2a6f97")
    axes.bar_label(drawn, [f"{bar:.1f} x" for _, bar in bars], padding=4)
    axes.axvline(1, color="#c0392b", linewidth=1.5)
    axes.set_xscale("log")
    axes.set_xticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
    axes.set_xlim(0.6, 30)
    axes.minorticks_off()
    axes.set_xlabel("times as fast as a backend as tutorials write it (red line)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure."""
    options = argparse.ArgumentParser(description="Prelabel beside a tutorial-style backend and the model alone.")
    options.add_argument("--rounds", type=int, default=5, help="how often each scene is measured")
    options.add_argument("--plot", type=Path, help="draw the ratios to the peer there")
    options.add_argument("--json", type=Path, help="also write the lines there")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, file_server() as files:
        model = detector(Path(folder))
        cached = {
            "PRELABEL_MODEL": model,
            "LABEL_STUDIO_URL": files.url,
            "LABEL_STUDIO_API_KEY": "any",
            "PRELABEL_CACHE_FILE": f"{folder}/cache",
        }
        with (
            prelabel(**cached) as (ours, process),
            peer(model, folder) as (theirs, _),
            limit(model, files.photographs) as alone,
        ):
            sides = Sides(ours, theirs, alone, files, given.rounds)
            print(
                f"{Path(model).name}, {available_cpus()} processors, {os.uname().machine}; median (smallest to largest) of rounds\n"
            )
            print("| scene | target | measured | reached |\n|---|---|---|---|")
            predict(ours, files.new(1))
            memory(sides, process)
            for url in (ours, theirs):  # connections, threads and caches of everybody's own
                at_once(url, files.new(16), 8)
            with watched(ours) as taken:
                throughput(sides, "25 new 640-pixel tasks in one request", 25, predict, 0.90, 1.6)
                throughput(
                    sides, "8 clients, one new task each", 48, lambda url, images: at_once(url, images, 8), 0.85, 2
                )
                one_new(sides)
                one_known(sides)
                many_known(sides)
                large(sides, "12mp", 3)
                large(sides, "24mp", 4)
                growth(sides)
            p99 = statistics.quantiles(taken, n=100)[98]
            health = f"{p99:.0f} ms, longest {max(taken):.0f} ms ({len(taken)} answers)"
            sides.add(Line("`/health` p99 while all of this ran", "under 100 ms", health, p99 < 100))
        start(sides, model, folder)
    if given.json:
        given.json.write_text(json.dumps([vars(line) for line in sides.lines], indent=1))
    if given.plot:
        plot(sides.lines, given.plot)


if __name__ == "__main__":
    main()
