"""What the benchmarks share: pictures, a file server and services in processes of their own, and how to ask them."""

import contextlib
import io
import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from ml_backend.demo.scenes import draw_scene, encode
from ml_backend.inference.detector import Detector
from ml_backend.inference.models import Models
from ml_backend.label_studio.label_config import label_config_for
from ml_backend.settings import load_settings
from ml_backend.vocabularies.open_images import open_images_classes

SHARED = Path(__file__).parent.parent.parent / "shared"
MODEL = SHARED / "models" / "openimages-subset-detector-hub"
CONFIG = label_config_for(open_images_classes().names)

KINDS = {"photo": None, "12mp": (4000, 3000), "24mp": (6000, 4000)}  # width and height; photographs as they are


def detector(folder: Path) -> str:
    """Return the handle of the trained detector, or of one of the published model's shape that is built in ``folder``."""
    if MODEL.exists():
        return str(MODEL)
    from stand_in import build

    return str(build(folder / "stand-in"))


def load_detector(handle: str = str(MODEL)) -> Detector:
    """Load a detector as the service does."""
    detector = Models.load(load_settings(model=handle)).detector
    assert detector is not None  # noqa: S101 - it has a handle
    return detector


def material(folder: Path) -> Path:
    """Write pictures of each kind: photographs where they are, else drawn scenes; gives the folder."""
    photos = sorted((SHARED / "photos" / "images").glob("*.jpg"))
    pictures = [photo.read_bytes() for photo in photos] or [encode(draw_scene(seed)[0]) for seed in range(20)]
    for kind, size in KINDS.items():
        (folder / kind).mkdir(parents=True)
        for number, data in enumerate(pictures if size is None else pictures[:4]):
            (folder / kind / f"{number:03}.jpg").write_bytes(data if size is None else enlarged(data, size))
    return folder


def enlarged(data: bytes, size: tuple[int, int]) -> bytes:
    """Return a picture as a JPEG file of another size, as a camera writes it."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        image.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


class FileServer:
    """Serves pictures that nobody has asked for before; ``photographs`` is the folder of those as they are, ``pid`` its process."""

    def __init__(self, url: str, photographs: Path, pid: int) -> None:
        self.url = url
        self.photographs = photographs
        self.pid = pid
        self._numbers = itertools.count()

    def new(self, count: int, kind: str = "photo") -> list[str]:
        """Return the addresses of so many new pictures, of the form of Label Studio's uploads."""
        return [f"{self.url}/data/upload/1/{next(self._numbers):08x}-{kind}.jpg" for _ in range(count)]


@contextmanager
def file_server() -> Iterator[FileServer]:
    """Serve pictures from a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        material(Path(folder))
        url = f"http://127.0.0.1:{free_port()}"
        script = Path(__file__).with_name("file_server.py")
        with running([sys.executable, str(script), folder, url.rpartition(":")[2]], url) as process:
            yield FileServer(url, Path(folder) / "photo", process.pid)


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
        except urllib.request.HTTPError as error:
            if error.code != 503:  # while the detector loads
                return
            time.sleep(0.05)
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
def prelabel(**settings: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run ``prelabel serve``; gives its address and process."""
    url = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "ml_backend", "serve", "--host", "127.0.0.1", "--port", url.rpartition(":")[2]]
    with running(command, f"{url}/health", **settings) as process:
        yield url, process


@contextmanager
def peer(model: str, folder: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run the peer (``peer.py``), which keeps fetched images in ``folder``; gives its address and process."""
    url = f"http://127.0.0.1:{free_port()}"
    served = ["--bind", url.removeprefix("http://"), "--workers", "1", "--threads", "8", "--timeout", "600", "peer:app"]
    command = [sys.executable, "-m", "gunicorn", "--chdir", str(Path(__file__).parent), *served]
    with running(command, f"{url}/health", PEER_MODEL=model, PEER_FILES=folder) as process:
        post(f"{url}/setup", {"project": "1.1", "schema": CONFIG})  # as Label Studio does; the runner insists on it
        yield url, process


def family(pid: int) -> list[int]:
    """Return a process and all below it."""
    parents = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            parents[int(file.parent.name)] = int(file.read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for each in found:  # grows meanwhile
        found += [child for child, parent in parents.items() if parent == each]
    return found


def memory(pid: int, file: str, name: str) -> int:
    """Return a figure of a process's memory, in bytes: ``VmRSS`` or ``VmHWM`` of ``status``, ``Pss`` of ``smaps_rollup``."""
    lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process so far, that of the kernel for it included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
    tasks = [{"id": number, "data": {"image": image}} for number, image in enumerate(images, 1)]
    started = time.perf_counter()
    results = post(f"{url}/predict", {"project": "1.1", "label_config": label_config, "tasks": tasks})["results"]
    took = time.perf_counter() - started
    if not all(results) or len(results) != len(images):
        raise RuntimeError(f"{sum(map(bool, results))} of {len(images)} tasks were predicted")
    return took
