"""A real service and its decoders, fed with images that were made to cost much or to break them."""

import base64
import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from hostile_images import corpus, repeated_scans
from samples import BALLOON_CONFIG, balloon_file
from server.conftest import RunningService
from waiting import wait_until

from ml_backend.settings import available_cpus

FILES = 300
NEIGHBOUR_SECONDS = 5
LARGEST_GROWTH = 1e9  # bytes of memory, of the service and its decoders together


@dataclass
class Memory:
    """The memory of a process and its children, in bytes, without shared pages that were counted already."""

    process: int
    idle: float = 0
    peak: float = 0
    _done: threading.Event = field(default_factory=threading.Event)

    def now(self) -> float:
        """Return the memory at this moment."""
        children = Path(f"/proc/{self.process}/task").glob("*/children")
        family = [self.process, *(int(child) for each in children for child in _read(each).split())]
        total = 0
        for each in family:
            for line in _read(Path(f"/proc/{each}/status")).splitlines():
                if line.startswith(("RssAnon:", "RssShmem:")):
                    total += int(line.split()[1]) * 1024
        return total

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Take the highest of many readings while the block lasts."""
        self.idle = self.now()
        watching = threading.Thread(target=self._watch)
        watching.start()
        try:
            yield
        finally:
            self._done.set()
            watching.join()

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            self.peak = max(self.peak, self.now())


def _read(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(encoding="ascii")
    return ""


def data_uri(data: bytes) -> str:
    """Return a file as a data: URI."""
    return "data:image/png;base64," + base64.b64encode(data).decode()


def predict(url: str, *images: str) -> httpx.Response:
    """Ask for predictions of images."""
    tasks = [{"id": number, "data": {"image": image}} for number, image in enumerate(images, 1)]
    return httpx.post(f"{url}/predict", json={"tasks": tasks, "label_config": BALLOON_CONFIG}, timeout=60)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_hostile_images_fail_alone_and_within_their_bounds(service: RunningService) -> None:
    """Each is answered, its neighbour is predicted in time, and memory, log and process stay as they should be."""
    url = service.url
    good = data_uri(balloon_file())
    slowest = 0.0
    predict(url, good)
    memory = Memory(service.process)
    with memory.watched():
        for name, data in corpus(FILES):
            started = time.monotonic()
            response = predict(url, data_uri(data), good)
            slowest = max(slowest, time.monotonic() - started)
            assert response.status_code == 200, name
            assert len(response.json()["results"][1]["result"]) == 1, name
    growth = memory.peak - memory.idle
    print(f"slowest request {slowest:.1f} s, memory {memory.idle / 1e6:.0f} MB + {growth / 1e6:.0f} MB")  # noqa: T201 - figures of this run
    assert growth < LARGEST_GROWTH
    # The processor time of an image is bounded exactly, by the kernel; the time on a clock depends on what else the machine does.
    assert slowest < NEIGHBOUR_SECONDS * max(1, os.getloadavg()[0])
    for line in service.log.read_text().splitlines():
        record = json.loads(line)  # whatever is no JSON has passed by the logger
        assert "exception" not in record, record
        assert record["level"] in {"info", "warning"}, record


@pytest.mark.slow
def test_unrelated_task_is_answered_while_every_worker_meets_a_hostile_image(service: RunningService) -> None:
    """Costly images on all workers hold up another request for some seconds, not for minutes."""
    url = service.url
    bombs = [data_uri(repeated_scans() + bytes([number])) for number in range(available_cpus() + 1)]
    with ThreadPoolExecutor(len(bombs)) as threads:
        hostile = [threads.submit(predict, url, bomb) for bomb in bombs]
        wait_until(lambda: _in_flight(url) == len(bombs))
        assert len(predict(url, data_uri(balloon_file())).json()["results"][0]["result"]) == 1
        assert [each.result().json() for each in hostile] == [{"results": [[]]}] * len(bombs)


def _in_flight(url: str) -> float:
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("prelabel_images_in_flight "))
