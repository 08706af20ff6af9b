"""How soon `/health` and `/setup` answer while a 300-task request runs and every core is busy.

Label Studio gives up on `/health` after 1 s and on `/setup` after 3 s. Starts `prelabel serve` on a free port, posts 300 tasks with
different pictures in one request, and meanwhile asks both, as each annotator's Label Studio does before each prediction: on new
connections. Run it with `make bench`; `docs/label-studio.md` has the figures.
"""

import multiprocessing
import statistics
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from servers import CONFIG, detector, file_server, post, predict, prelabel

from ml_backend.settings import available_cpus

TASKS = 300
EVERY = 0.05  # seconds between two questions


def ask(question: Callable[[], Any], until: threading.Event, seconds: list[float]) -> None:
    """Ask again and again, and write down how long each answer took."""
    while not until.is_set():
        started = time.perf_counter()
        question()
        seconds.append(time.perf_counter() - started)
        time.sleep(EVERY)


def burn() -> None:
    """Keep a core busy."""
    while True:
        pass


def row(name: str, seconds: list[float]) -> str:
    """Return figures in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100)
    return f"| {name} | {len(seconds)} | {cuts[49] * 1e3:.1f} | {cuts[98] * 1e3:.1f} | {max(seconds) * 1e3:.1f} |"


def measure(url: str, addresses: list[str], burners: int) -> None:
    """Run one scene and print its rows."""
    setup = {"project": "1.1", "schema": CONFIG, "hostname": url, "access_token": ""}
    post(f"{url}/setup", setup)
    questions = {
        "/health": lambda: urllib.request.urlopen(f"{url}/health", timeout=60).read(),
        "/setup": lambda: post(f"{url}/setup", setup),
    }
    done = threading.Event()
    seconds: dict[str, list[float]] = {name: [] for name in questions}
    askers = [
        threading.Thread(target=ask, args=(question, done, seconds[name])) for name, question in questions.items()
    ]
    load = [multiprocessing.Process(target=burn, daemon=True) for _ in range(burners)]
    for process in load:
        process.start()
    for asker in askers:
        asker.start()
    took = predict(url, addresses)
    done.set()
    for asker in askers:
        asker.join()
    for process in load:
        process.terminate()
    print(f"\n{burners} further busy processes: {TASKS} tasks answered in {took:.1f} s\n")
    print("| asked | times | median ms | p99 ms | longest ms |\n|---|---|---|---|---|")
    for name, taken in seconds.items():
        print(row(name, taken))


def main() -> None:
    """Start the service and a server of the pictures, measure without and with further load."""
    with tempfile.TemporaryDirectory() as folder, file_server() as files:
        model = detector(Path(folder))
        with prelabel(PRELABEL_MODEL=model, PRELABEL_CACHE="none") as (url, _):
            print(f"{Path(model).name}, {available_cpus()} processors")
            for burners in (0, available_cpus()):
                measure(url, files.new(TASKS), burners)


if __name__ == "__main__":
    main()
