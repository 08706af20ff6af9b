"""Runs the service: for good under ``prelabel serve``, or in a thread for as long as a ``with`` block lasts."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

START_SECONDS = 30


def _config(app: FastAPI, host: str, port: int) -> uvicorn.Config:
    # log_config=None: logs.py has the say. Access lines would drown what matters, since Label Studio asks /health and /setup all the time.
    return uvicorn.Config(app, host=host, port=port, log_config=None, access_log=False, server_header=False)


def serve(app: FastAPI, host: str, port: int) -> None:
    """Serve until a signal ends it."""
    uvicorn.Server(_config(app, host, port)).run()


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serve on a free port of the loopback interface while the block lasts; gives the server's base URL.

    Raises:
        RuntimeError: the server did not start.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(_config(app, "127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
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
