import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from ml_backend.server import connection_limits as connections
from ml_backend.server.connection_limits import HEAD_BYTES

Serve = Callable[..., str]


@contextmanager
def connected(url: str, count: int, sends: bytes) -> Iterator[list[socket.socket]]:
    """Open connections that send something and then wait."""
    address = httpx.URL(url)
    with ExitStack() as stack:
        opened = []
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection((address.host, address.port or 80), timeout=30))
            connection.sendall(sends)
            opened.append(connection)
        yield opened


def ended(connection: socket.socket) -> bool:
    """Wait until the other side ends the connection."""
    try:
        return connection.recv(65_536) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(
    "sends",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET /health HTTP/1.1\r\nHost: x\r\n", id="half a head"),
        pytest.param(b"\r\n\r\n", id="empty lines, which HTTP passes over"),
    ],
)
def test_connection_without_a_request_ends(serve: Serve, monkeypatch: pytest.MonkeyPatch, sends: bytes) -> None:
    """A client that never sends a whole head does not keep its connection."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    with connected(serve(), 1, sends) as (connection,):
        assert ended(connection)


def test_slow_head_is_not_prolonged_by_each_byte(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is for the whole head, however often a byte of it comes."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.5)
    with connected(serve(), 1, b"GET /health HTTP/1.1\r\n") as (connection,):
        connection.settimeout(0.05)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                connection.sendall(b"X")
                if connection.recv(1) == b"":
                    return
            except TimeoutError:
                continue
            except OSError:
                return
    pytest.fail("the connection stayed")


def test_connections_that_wait_make_room(serve: Serve) -> None:
    """900 half-sent requests do not keep others from being answered; the longest waiting are ended."""
    url = serve(max_connections=64)
    with connected(url, 900, b"POST /predict HTTP/1.1\r\nHost: x\r\n") as waiting:
        for _ in range(3):
            assert httpx.get(f"{url}/health").status_code == 200
        assert ended(waiting[0])


def test_head_is_bounded(serve: Serve) -> None:
    """Headers that never end are refused before they fill the memory."""
    with connected(serve(), 1, b"GET /health HTTP/1.1\r\nX: " + b"x" * (2 * HEAD_BYTES)) as (connection,):
        assert connection.recv(65_536).startswith(b"HTTP/1.1 400")


def test_body_that_does_not_arrive_is_given_up(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """408 after the time for a whole body."""
    monkeypatch.setattr("ml_backend.server.receiving.BODY_SECONDS", 0.2)
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    with connected(serve(), 1, head) as (connection,):
        assert connection.recv(65_536).startswith(b"HTTP/1.1 408")


def test_answer_that_nobody_reads_is_given_up(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that leaves its answer unread does not keep it in memory for ever."""
    monkeypatch.setattr(connections, "ANSWER_SECONDS", 0.2)
    url = serve()
    tasks = b",".join([b'{"id":1}'] * 40_000)
    body = b'{"label_config":"<View/>","tasks":[' + tasks + b"]}"
    address = httpx.URL(url)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(60)
        connection.connect((address.host, address.port))
        for _ in range(100):  # answers of 120 kB, none of which is read
            try:
                connection.sendall(
                    b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                    + f"Content-Length: {len(body)}\r\n\r\n".encode()
                    + body
                )
            except ConnectionError:
                return
    pytest.fail("the connection stayed")


def test_keep_alive_still_works(serve: Serve) -> None:
    """One connection carries several requests."""
    with httpx.Client(base_url=serve()) as client:
        assert [client.get("/health").status_code for _ in range(3)] == [200, 200, 200]
