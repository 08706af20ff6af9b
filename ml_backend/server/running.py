"""Runs the service: for good under ``prelabel serve``, or in a thread for as long as a ``with`` block lasts."""

import gc
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from ml_backend.errors import SettingsError

START_SECONDS = 30
STOP_SECONDS = 5  # for requests that are being answered when a signal comes; containers are killed after ten


def reserve(host: str, port: int) -> socket.socket:
    """Take the port without listening yet: a taken one is found out before the detector is loaded, and nobody is let in before.

    Raises:
        SettingsError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    reserved = socket.socket(family, socket.SOCK_STREAM)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        reserved.bind((host, port))
    except OSError as error:
        reserved.close()
        raise SettingsError(
            f"cannot listen on {host}:{port} ({error.strerror}): another address (PRELABEL_HOST) or port (PORT) is needed"
        ) from None
    return reserved


def serve(app: FastAPI, reserved: socket.socket) -> None:
    """Serve on a reserved port until a signal ends it."""
    # TensorFlow's hundreds of thousands of objects stay for good; looking through them all now and then held up /health by 0.4 s.
    gc.collect()
    gc.freeze()
    _server(app).run([reserved])


def _server(app: FastAPI) -> uvicorn.Server:
    # log_config=None: logs.py has the say. Access lines would drown what matters, since Label Studio asks /health and /setup all the time.
    return uvicorn.Server(
        uvicorn.Config(
            app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=STOP_SECONDS
        )
    )


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serve on a free port of the loopback interface while the block lasts; gives the server's base URL.

    Raises:
        RuntimeError: the server did not start.
    """
    with reserve("127.0.0.1", 0) as listener:
        server = _server(app)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not server.started:
            if time.monotonic() > deadline or not thread.is_alive():
                raise RuntimeError("the server did not start; its log says why")
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
