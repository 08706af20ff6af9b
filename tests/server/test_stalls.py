"""Requests that are large or odd, and the time that they hold up others. `benchmarks/hostile.py` measures it in milliseconds.

The time is the service's own, of processors: the time on a clock depends on what else the machine does.
"""

import json
import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
import pytest
from hostile_images import encoded, photograph
from samples import BALLOON_CONFIG
from server.conftest import RunningService
from server.test_hostile_images import data_uri

LONGEST = 2  # seconds without an answer of /health; Label Studio gives up after three tries of one second
LONGEST_ON_THE_CLOCK = 30  # for what waits and computes nothing


def body(tasks: list[Any], **fields: Any) -> bytes:
    """Return the body of a request for predictions."""
    return json.dumps({"tasks": tasks, "label_config": BALLOON_CONFIG, "project": "1.1"} | fields).encode()


def with_old_predictions() -> bytes:
    """Return 3,000 tasks with eight old predictions of 20 boxes each: 130 MB."""
    value = {"x": 1.5, "y": 2.5, "width": 30.1, "height": 40.2, "rotation": 0, "rectanglelabels": ["Kite"]}
    size = {"original_width": 640, "original_height": 480, "image_rotation": 0}
    region = {"id": "d179c43efe5c83dd35e4", "from_name": "label", "to_name": "image", "type": "rectanglelabels"}
    old = [{"id": 1, "score": 0.5, "result": [region | size | {"value": value, "score": 0.87}] * 20}] * 8
    image = data_uri(encoded(photograph(0, 64, 48), "JPEG"))
    return body([{"id": number, "data": {"image": image}, "predictions": old} for number in range(1, 3001)])


def drawn() -> bytes:
    """Return a request in interactive mode with 300,000 regions."""
    return body([{"id": 1}], params={"context": {"result": [{"from_name": "x", "to_name": "y"}] * 300_000}})


REQUESTS = [
    pytest.param(with_old_predictions, 200, id="annotations and predictions are passed over", marks=pytest.mark.slow),
    pytest.param(lambda: body([{}] * 50_000), 200, id="equal failures are logged once"),
    pytest.param(lambda: body([{}] * 10_000, label_config="<View"), 200, id="a broken config is read once"),
    pytest.param(lambda: body([{}] * 100_000), 422, id="tasks have a limit"),
    pytest.param(lambda: body([{"data": {"image": "http://a/" + "b" * 10_000_000}}]), 200, id="so have addresses"),
    pytest.param(lambda: body([{"data": {"image": f"http://{'ß' * 60_000}/"}}]), 200, id="and hosts"),
    pytest.param(lambda: body([{"data": {"image": [[]] * 10_000_000}}]), 200, id="and the values of a task"),
    pytest.param(drawn, 422, id="and drawn regions"),
    pytest.param(lambda: b'{"tasks": [' + b"[]," * 13_000_000 + b"[]]}", 422, id="lists in place of tasks"),
    pytest.param(lambda: b"[" * 1_000_000, 422, id="deep nesting"),
]


def worked(process: int) -> float:
    """Return how many seconds of processors a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(url: str, process: int, told: Connection) -> None:
    """Ask /health until told to stop; tells the longest times between two answers: of the process's work, and on the clock."""
    longest, last = [0.0, 0.0], [worked(process), time.monotonic()]
    while not told.poll():
        httpx.get(f"{url}/health", timeout=120)
        now = [worked(process), time.monotonic()]
        longest = [max(most, after - before) for most, before, after in zip(longest, last, now, strict=True)]
        last = now
    told.send(longest)


@pytest.mark.parametrize(("make", "status"), REQUESTS)
def test_one_request_does_not_hold_up_others(service: RunningService, make: Callable[[], bytes], status: int) -> None:
    """The service answers /health all the time."""
    content = make()
    logged = service.log.stat().st_size
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    asking = multiprocessing.get_context("spawn").Process(
        target=ask, args=(service.url, service.process, theirs), daemon=True
    )
    asking.start()
    headers = {"Content-Type": "application/json"}
    response = httpx.post(f"{service.url}/predict", content=content, headers=headers, timeout=120)
    ours.send("stop")
    assert ours.poll(120)
    work, clock = ours.recv()
    assert work < LONGEST
    assert clock < LONGEST_ON_THE_CLOCK
    asking.join()
    assert response.status_code == status
    assert service.log.stat().st_size - logged < 100_000
