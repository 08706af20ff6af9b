"""The service as a process of its own, with its default limits."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from waiting import wait_until

from ml_backend.settings import VARIABLES


@dataclass(frozen=True)
class RunningService:
    """A service: its address, its process, and the file that its standard error goes to."""

    url: str
    process: int
    log: Path


@pytest.fixture(scope="module")
def service(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """Start ``prelabel serve`` with the demo detector, for all tests of a module."""
    folder = tmp_path_factory.mktemp("service")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url, log = f"http://127.0.0.1:{port}", folder / "stderr"
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES.values()}
    environment |= {"TFHUB_CACHE_DIR": str(models_dir), "PRELABEL_CACHE": "memory", "PRELABEL_HOME": str(folder)}
    command = [sys.executable, "-m", "ml_backend", "serve", "--model", "demo", "--host", "127.0.0.1", "--port"]

    def is_up() -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{url}/health").status_code == 200
        return False

    with log.open("wb") as stderr, subprocess.Popen([*command, str(port)], env=environment, stderr=stderr) as process:
        try:
            wait_until(is_up)
            yield RunningService(url, process.pid, log)
        finally:
            process.terminate()
            process.wait(30)
