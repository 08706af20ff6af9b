"""Runs the service: until a signal under ``prelabel serve``, or in a thread during a ``with`` block."""

import asyncio
import gc
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self

import uvicorn
from fastapi import FastAPI

from ml_backend.errors import SettingsError
from ml_backend.server.connection_limits import BoundedConnection, ConnectionLimits
from ml_backend.settings import Settings

START_SECONDS = 30
END_SECONDS = 2  # from the last answer to the exit
BACKLOG = 128  # connections that wait to be accepted; the kernel refuses or delays further ones

_STARTING = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 5\r\nconnection: close\r\n"
    b"refresh: 3\r\n"  # a browser asks again by itself
    b'content-length: 73\r\n\r\n{"error":{"code":"starting","message":"the detector is still loading"}}\r\n'
)


class StartupListener:
    """Listens on the service's port while the detector loads, and answers 503. Used as a context manager, which frees the port.

    Attributes:
        socket: the listening socket.

    Raises:
        SettingsError: the address cannot be listened on.
    """

    def __init__(self, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self.socket.bind((host, port))
            # A socket that is only bound can be taken over by another program.
            self.socket.listen(BACKLOG)
        except OSError as error:
            self.socket.close()
            raise SettingsError(
                f"cannot listen on {host}:{port} ({error.strerror}): another address (PRELABEL_HOST) or port (PORT) is needed"
            ) from None
        self._handed_over = threading.Event()
        self._thread = threading.Thread(target=self._answer_503, name="starting", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hand_over().close()

    def hand_over(self) -> socket.socket:
        """Stop answering and return the socket, on which new connections wait to be accepted."""
        self._handed_over.set()
        self._thread.join()
        return self.socket

    def _answer_503(self) -> None:
        self.socket.settimeout(0.1)
        while not self._handed_over.is_set():
            with suppress(OSError):
                connection, _ = self.socket.accept()
                with connection:
                    connection.settimeout(0.5)
                    connection.recv(65_536)
                    connection.sendall(_STARTING)


@dataclass(frozen=True)
class Shutdown:
    """The end of a service, from a signal on. Container runtimes kill after 10 (Docker) or 30 s (Kubernetes), unless told otherwise.

    Attributes:
        delay: seconds in which requests are still taken, while ``/ready`` answers 503.
        timeout: seconds that running requests get after that.
    """

    delay: float = 0
    timeout: float = 3

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return what the settings say."""
        return cls(settings.shutdown_delay, settings.shutdown_timeout)


AT_ONCE = Shutdown()


def serve(
    app: FastAPI, listener: StartupListener, max_connections: int, ready: Callable[[], None], shutdown: Shutdown
) -> None:
    """Serve until a signal ends the process.

    Args:
        app: the service.
        listener: gives its socket to the server.
        max_connections: the most connections at once.
        ready: called when the service answers.
        shutdown: see :class:`Shutdown`.
    """
    # TensorFlow's hundreds of thousands of objects are never freed. Scanning them in each full collection delayed /health by 0.4 s.
    gc.collect()
    gc.freeze()
    _Server(app, max_connections, ready, shutdown, ends_process=True).run([listener.hand_over()])


class _Server(uvicorn.Server):
    def __init__(
        self,
        app: FastAPI,
        max_connections: int,
        ready: Callable[[], None] = lambda: None,
        shutdown: Shutdown = AT_ONCE,
        *,
        ends_process: bool = False,
    ) -> None:
        # logs.py configures logging. There is no access log: Label Studio requests /health and /setup all the time.
        options: dict[str, Any] = {"log_config": None, "access_log": False, "server_header": False}
        options["timeout_graceful_shutdown"] = shutdown.timeout  # fractions of a second as well, whatever its type says
        self._limits = ConnectionLimits.within_open_files(max_connections)
        connection: Any = partial(BoundedConnection, limits=self._limits)
        super().__init__(uvicorn.Config(app, http=connection, ws="none", **options))
        self._app = app
        self._ready = ready
        self._shutdown = shutdown
        self._ends_process = ends_process

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.state.ends = self._limits.ends = True
        end = time.monotonic() + self._shutdown.delay
        while time.monotonic() < end and not self.force_exit:  # noqa: ASYNC110 - uvicorn's handler of a second signal sets a flag
            await asyncio.sleep(0.1)
        if self._ends_process:
            # Threads cannot be cancelled, and one may wait for a database. Nothing is lost: events are on the disk when they are acknowledged.
            last = threading.Timer(self._shutdown.timeout + END_SECONDS, os._exit, [128 + signal.SIGTERM])
            last.daemon = True
            last.start()
        await self._take_last(sockets or [])
        await super().shutdown(sockets)

    async def _take_last(self, sockets: list[socket.socket]) -> None:
        """Take the connections that the kernel has accepted, and close the listening sockets, which would reset them."""
        waiting = []
        for listener in sockets:
            listener.setblocking(False)
            with suppress(OSError):  # no more
                while True:
                    waiting.append(listener.accept()[0])
        for server in self.servers:
            server.close()
        for listener in sockets:
            listener.close()
        loop = asyncio.get_running_loop()
        connection: Any = self.config.http_protocol_class
        for each in waiting:
            make = partial(
                connection, config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )
            await loop.connect_accepted_socket(make, each)


@contextmanager
def background_server(app: FastAPI, max_connections: int = 512, shutdown: Shutdown = AT_ONCE) -> Iterator[str]:
    """Serve on a free port of the loopback interface during the block; gives the server's base URL.

    Raises:
        RuntimeError: the server did not start.
    """
    with StartupListener("127.0.0.1", 0) as startup:
        listener = startup.hand_over()
        server = _Server(app, max_connections, shutdown=shutdown)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not server.started:
            if time.monotonic() > deadline or not thread.is_alive():
                raise RuntimeError("the server did not start; its log says why")
            time.sleep(0.01)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            yield address
        finally:
            server.should_exit = True
            thread.join()
