"""What the benchmarks share: pictures, a file server and services in processes of their own, and how to ask them."""

import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ml_backend.demo.scenes import draw_scene, encode
from ml_backend.labels.config import label_config_for
from ml_backend.open_images import open_images_classes

SHARED = Path(__file__).parent.parent.parent / "shared"
MODEL = SHARED / "models" / "openimages-subset-detector-hub"
CONFIG = label_config_for(open_images_classes().names)

# aiohttp rather than http.server, which lets the sixth connection at the same time wait a second.
FILE_SERVER = """
import sys
from aiohttp import web
app = web.Application()
app.router.add_static("/data/upload/1", sys.argv[1])
web.run_app(app, host="127.0.0.1", port=int(sys.argv[2]), access_log=None, print=None)
"""


def photographs(count: int) -> tuple[str, list[bytes]]:
    """Return a detector's handle and so many different pictures for it: photographs where they are, else drawn scenes."""
    photos = sorted((SHARED / "photos" / "images").glob("*.jpg"))
    if photos:
        # What follows a JPEG's end is no picture to a decoder, but makes other content of it.
        return str(MODEL), [photos[n % len(photos)].read_bytes() + n.to_bytes(4, "big") for n in range(count)]
    scenes = [encode(draw_scene(seed)[0]) for seed in range(20)]
    return "demo", [scenes[n % len(scenes)] + n.to_bytes(4, "big") for n in range(count)]


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def wait_for(url: str, process: subprocess.Popen[bytes], seconds: float = 120) -> None:
    """Wait until ``url`` answers anything at all."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=1).read()
        except urllib.request.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"nothing answers at {url}")


@contextmanager
def running(command: Sequence[str], url: str, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server with some environment variables until the block ends; begins when ``url`` answers."""
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env=os.environ | settings, **quiet)
    try:
        wait_for(url, process)
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()


@contextmanager
def file_server(pictures: Sequence[bytes], suffix: str = ".jpg") -> Iterator[tuple[str, list[str]]]:
    """Serve pictures; gives the server's address and a path for each, of the form of Label Studio's uploads."""
    with tempfile.TemporaryDirectory() as folder:
        names = [f"{number:08x}-picture{suffix}" for number in range(len(pictures))]
        for name, picture in zip(names, pictures, strict=True):
            (Path(folder) / name).write_bytes(picture)
        url = f"http://127.0.0.1:{free_port()}"
        with running([sys.executable, "-c", FILE_SERVER, folder, url.rpartition(":")[2]], url):
            yield url, [f"/data/upload/1/{name}" for name in names]


@contextmanager
def prelabel(**settings: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run ``prelabel serve``; gives its address and process."""
    url = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "ml_backend", "serve", "--host", "127.0.0.1", "--port", url.rpartition(":")[2]]
    with running(command, f"{url}/health", **settings) as process:
        yield url, process


def post(url: str, body: Any) -> Any:
    """Post JSON."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=600) as answer:
        return json.load(answer)


def predict(url: str, images: Sequence[str], label_config: str = CONFIG) -> float:
    """Ask for predictions, all in one request; gives the seconds that it took.

    Raises:
        RuntimeError: a task was not predicted.
    """
    tasks = [{"id": number, "data": {"image": image}} for number, image in enumerate(images)]
    started = time.perf_counter()
    results = post(f"{url}/predict", {"project": "1.1", "label_config": label_config, "tasks": tasks})["results"]
    took = time.perf_counter() - started
    if not all(results) or len(results) != len(images):
        raise RuntimeError(f"{sum(map(bool, results))} of {len(images)} tasks were predicted")
    return took


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Return the median with the smallest and the largest value."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"
