"""Ports that nobody listens on."""

import random
import socket


def free_port() -> int:
    """Return a port that nobody listens on just now.

    Systems give outgoing connections ports from 32768 up (Linux) or 49152 up: one of those could be taken while a server that the test
    has stopped is away, or even be connected to itself.
    """
    while True:
        port = random.randrange(15_000, 32_000)  # noqa: S311 - a port is no secret
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:  # somebody has it
            continue
        return port
