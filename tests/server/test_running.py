"""The port from the first moment to the last: taken at once, ready when it answers, and free within some seconds of a signal."""

import base64
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import httpx
import pytest
from hostile_images import repeated_scans
from samples import BALLOON_CONFIG
from waiting import wait_until

from ml_backend.errors import SettingsError
from ml_backend.server.running import AT_ONCE, END_SECONDS, StartupListener


def test_port_cannot_be_taken_by_two_programs() -> None:
    """A second Prelabel is refused, and so is every other program, from the first moment."""
    with StartupListener("127.0.0.1", 0) as listener:
        number = listener.socket.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"cannot listen on 127\.0\.0\.1:{number}"):
            StartupListener("127.0.0.1", number)
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="in use"):
                other.bind(("127.0.0.1", number))


def test_callers_are_told_while_the_detector_loads() -> None:
    """503 says that the service is starting; nobody takes it for another program, or waits."""
    with StartupListener("127.0.0.1", 0) as listener:
        answer = httpx.get(f"http://127.0.0.1:{listener.socket.getsockname()[1]}/health", timeout=30)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "starting")


def test_caller_that_sends_nothing_does_not_keep_others_from_an_answer() -> None:
    """Not while the detector loads, either."""
    with StartupListener("127.0.0.1", 0) as listener, socket.create_connection(listener.socket.getsockname()):
        answer = httpx.get(f"http://127.0.0.1:{listener.socket.getsockname()[1]}/health", timeout=30)
    assert answer.status_code == 503


@pytest.fixture
def starting(models_dir: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Start ``prelabel serve`` with a minute for each image, and wait for nothing."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = os.environ | {"TFHUB_CACHE_DIR": str(models_dir), "PRELABEL_IMAGE_MAX_SECONDS": "60"}
    command = [sys.executable, "-m", "ml_backend", "serve", "--model", "demo", "--host", "127.0.0.1", "--port"]
    with subprocess.Popen([*command, str(port)], env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield f"http://127.0.0.1:{port}", process
        finally:
            process.kill()


def until_ready(log: IO[str] | None) -> list[str]:
    """Read the log until the service says that it is ready; gives all messages."""
    assert log
    events = []
    for line in log:
        events.append(json.loads(line)["event"])
        if events[-1] == "ready":
            return events
    raise AssertionError(events)


def test_ready_is_logged_when_the_port_answers(starting: tuple[str, subprocess.Popen[str]]) -> None:
    """A script that waits for the line can ask at once. Before, the log says who can use a service without a password."""
    url, process = starting
    events = until_ready(process.stderr)
    assert httpx.get(f"{url}/health").status_code == 200
    assert (
        sum("BASIC_AUTH_USER and BASIC_AUTH_PASS are not set: every program on this machine" in each for each in events)
        == 1
    )


def test_idle_connections_do_not_use_up_the_file_descriptors(starting: tuple[str, subprocess.Popen[str]]) -> None:
    """260 idle connections leave a process that may open 200 files able to answer."""
    url, process = starting
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (200, 200))
    until_ready(process.stderr)
    address = httpx.URL(url)
    with ExitStack() as idle:
        for _ in range(260):
            idle.enter_context(socket.create_connection((address.host, address.port or 80), timeout=30))
        for _ in range(3):
            assert httpx.get(f"{url}/health").status_code == 200


def decoders(parent: int) -> list[int]:
    """Return the decoder processes of a service."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if b"ml_backend.images.decoding.process" in command and int(fields[1]) == parent:
            found.append(int(folder.name))
    return found


def test_signal_ends_a_running_decode(starting: tuple[str, subprocess.Popen[str]]) -> None:
    """SIGTERM ends the service within its time, whatever its decoders do, and no process stays."""
    url, process = starting
    until_ready(process.stderr)
    image = "data:image/jpeg;base64," + base64.b64encode(repeated_scans()).decode()
    body = {"tasks": [{"id": 1, "data": {"image": image}}], "label_config": BALLOON_CONFIG}
    address = httpx.URL(url)
    content = json.dumps(body).encode()
    head = (
        f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    with socket.create_connection((address.host, address.port or 80)) as connection:
        connection.sendall(head.encode() + content)
        busy = "prelabel_images_in_flight 1.0"
        wait_until(lambda: busy in httpx.get(f"{url}/metrics").text)
        wait_until(lambda: decoders(process.pid))
        left = decoders(process.pid)
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert time.monotonic() - started < AT_ONCE.timeout + END_SECONDS + 10, "with room for a busy machine"
    wait_until(lambda: not any(Path(f"/proc/{each}").exists() for each in left))
