"""How soon `/health` and `/setup` answer while a 300-task request runs and every core is busy.

Label Studio gives up on `/health` after 1 s and on `/setup` after 3 s. Starts `prelabel serve` on a free port, posts 300 tasks with
different pictures in one request, and meanwhile asks both, as each annotator's Label Studio does before each prediction: on new
connections. Run it with `make bench`; `docs/label-studio.md` has the figures.
"""

import json
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml_backend.demo.scenes import draw_scene, encode
from ml_backend.labels.config import label_config_for
from ml_backend.open_images import open_images_classes
from ml_backend.settings import available_cpus

TASKS = 300
EVERY = 0.05  # seconds between two questions
SHARED = Path(__file__).parent.parent.parent / "shared"
CONFIG = label_config_for(open_images_classes().names)


def pictures() -> tuple[str, list[bytes]]:
    """Return a detector's handle and 300 different pictures for it: photographs where they are, else drawn scenes."""
    photos = sorted((SHARED / "photos" / "images").glob("*.jpg"))
    if photos:
        model = str(SHARED / "models" / "openimages-subset-detector-hub")
        # What follows a JPEG's end is no picture to a decoder, but makes other content of it.
        return model, [photos[n % len(photos)].read_bytes() + n.to_bytes(2, "big") for n in range(TASKS)]
    scenes = [encode(draw_scene(seed)[0]) for seed in range(20)]
    return "demo", [scenes[n % len(scenes)] + n.to_bytes(2, "big") for n in range(TASKS)]


def post(url: str, body: Any) -> Any:
    """Post JSON."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=600) as answer:
        return json.load(answer)


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
    tasks = [{"id": number, "data": {"image": address}} for number, address in enumerate(addresses)]
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
    started = time.perf_counter()
    results = post(f"{url}/predict", {"project": "1.1", "label_config": CONFIG, "tasks": tasks})["results"]
    took = time.perf_counter() - started
    done.set()
    for asker in askers:
        asker.join()
    for process in load:
        process.terminate()
    answered = sum(1 for result in results if result)
    print(f"\n{burners} further busy processes: {answered} of {TASKS} tasks answered in {took:.1f} s\n")
    print("| asked | times | median ms | p99 ms | longest ms |\n|---|---|---|---|---|")
    for name, taken in seconds.items():
        print(row(name, taken))


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def wait_for(url: str) -> None:
    """Wait up to a minute until ``url`` answers."""
    for _ in range(600):
        try:
            urllib.request.urlopen(url, timeout=1).read()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"nothing answers at {url}")


def main() -> None:
    """Start the service and a server of the pictures, measure without and with further load, end both."""
    model, images = pictures()
    port, files = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    environment = os.environ | {"PRELABEL_MODEL": model, "PRELABEL_CACHE_MEMORY_BYTES": "0", "PORT": str(port)}
    started: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory() as folder:
        for number, image in enumerate(images):
            (Path(folder) / f"{number}.jpg").write_bytes(image)
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        file_server = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", folder, str(files)]
        service = [sys.executable, "-m", "ml_backend", "serve", "--host", "127.0.0.1"]
        try:
            started.append(subprocess.Popen(file_server, **quiet))
            started.append(subprocess.Popen(service, env=environment, **quiet))
            wait_for(f"http://127.0.0.1:{files}/0.jpg")
            wait_for(f"{url}/health")
            print(f"{Path(model).name}, {available_cpus()} processors")
            addresses = [f"http://127.0.0.1:{files}/{number}.jpg" for number in range(TASKS)]
            for burners in (0, available_cpus()):
                measure(url, addresses, burners)
        finally:
            for process in started:
                process.terminate()
                process.wait()


if __name__ == "__main__":
    main()
