"""The end of a service: balancers are told first, and whatever has reached it is answered."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest
from picture_server import Answer, PictureServer
from samples import BALLOON_CONFIG, balloon_file
from waiting import wait_until

from ml_backend.inference.detector import Detector
from ml_backend.inference.models import Models
from ml_backend.server import connection_limits
from ml_backend.server.app import create_app
from ml_backend.server.running import Shutdown, StartupListener, _Server, background_server
from ml_backend.settings import Settings

LONG = 60  # seconds, for a busy machine; none of the tests waits so long
ASKED = b"GET /versions HTTP/1.1\r\nHost: x\r\n\r\n"


class Ending:
    """A service that can be told to end, as a signal does."""

    def __init__(self, url: str, running: ExitStack) -> None:
        self.url = url
        self.address = (httpx.URL(url).host, httpx.URL(url).port or 80)
        self._thread = threading.Thread(target=running.close)

    def begin(self) -> None:
        """Let it begin to end."""
        self._thread.start()

    def is_over(self) -> bool:
        """Tell whether it has ended."""
        return not self._thread.is_alive()

    def takes_connections(self) -> bool:
        """Tell whether it still listens."""
        try:
            socket.create_connection(self.address, timeout=LONG).close()
        except OSError:
            return False
        return True

    def wait(self) -> None:
        """Wait until it has ended."""
        self._thread.join(LONG)
        assert self.is_over()


Serving = Callable[[Shutdown], Ending]


@pytest.fixture
def serving(demo_detector: Detector) -> Iterator[Serving]:
    """Give a function that starts a service with some times to end."""
    with ExitStack() as all_of_them:

        def start(shutdown: Shutdown) -> Ending:
            running = all_of_them.enter_context(ExitStack())
            app = create_app(Settings(), Models(demo_detector))
            return Ending(running.enter_context(background_server(app, shutdown=shutdown)), running)

        yield start


@contextmanager
def connected(ending: Ending) -> Iterator[socket.socket]:
    """Open a connection."""
    with socket.create_connection(ending.address, timeout=LONG) as connection:
        yield connection


def answer(connection: socket.socket) -> str:
    """Read until the service closes the connection."""
    parts = []
    while data := connection.recv(65_536):
        parts.append(data)
    return b"".join(parts).decode()


def test_balancers_are_told_before_requests_are_refused(serving: Serving) -> None:
    """During the delay /ready says 503, and everything else is answered, each on a connection of its own; Label Studio asks /health first."""
    ending = serving(Shutdown(delay=5, timeout=LONG))
    with httpx.Client(base_url=ending.url, timeout=LONG) as client:
        assert "connection" not in client.get("/ready").raise_for_status().headers
        ending.begin()
        wait_until(lambda: client.get("/ready").status_code == 503)
        assert client.get("/ready").json()["error"]["code"] == "stopping"
        assert client.get("/health").status_code == 200
        told = client.get("/versions")
        assert (told.status_code, told.headers["connection"]) == (200, "close")
    ending.wait()
    assert not ending.takes_connections()


def test_running_request_is_answered(serving: Serving, pictures: PictureServer) -> None:
    """However long its image takes, within the time-out; nobody else gets in meanwhile."""
    image = pictures.add("/late.png", Answer(balloon_file(), held=True))
    ending = serving(Shutdown(timeout=LONG))
    tasks = [{"id": 1, "data": {"image": image}}]
    content = json.dumps({"label_config": BALLOON_CONFIG, "tasks": tasks}).encode()
    head = (
        f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    with connected(ending) as connection:
        connection.sendall(head.encode() + content)
        wait_until(lambda: pictures.requests)
        ending.begin()
        wait_until(lambda: not ending.takes_connections())
        assert not ending.is_over()
        pictures.release()
        received = answer(connection)
    ending.wait()
    assert received.startswith("HTTP/1.1 200")
    assert "connection: close" in received
    assert "Balloon" in received


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(b"", ASKED, id="nothing"),
        pytest.param(ASKED[:10], ASKED[10:], id="the beginning of a request"),
    ],
)
def test_connections_from_before_the_end_are_answered(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, before: bytes, after: bytes
) -> None:
    """Twenty clients have connected, and sent so much; their requests are on the way when the service ends."""
    monkeypatch.setattr(connection_limits, "LAST_SECONDS", LONG)
    ending = serving(Shutdown(timeout=LONG))
    with ExitStack() as stack:
        connections = [stack.enter_context(connected(ending)) for _ in range(20)]
        for each in connections:
            each.sendall(before)
        ending.begin()
        wait_until(lambda: not ending.takes_connections())
        for each in connections:
            each.sendall(after)
        received = [answer(each) for each in connections]
    ending.wait()
    assert {each.partition("\r\n")[0] for each in received} == {"HTTP/1.1 200 OK"}
    assert all("connection: close" in each for each in received)


def test_idle_connections_do_not_hold_up_the_end(serving: Serving) -> None:
    """One that is idle after a response is closed at once, and one that never sends a request a second later."""
    ending = serving(Shutdown(timeout=LONG))
    with connected(ending) as silent, httpx.Client(base_url=ending.url, timeout=LONG) as client:
        client.get("/versions")
        ending.begin()
        assert answer(silent) == ""
        ending.wait()


def test_connections_that_nobody_has_taken_are_answered(
    demo_detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel has accepted them, and closing the port would reset them. This service is told to end before it looks at its port."""
    monkeypatch.setattr(connection_limits, "LAST_SECONDS", LONG)
    app = create_app(Settings(), Models(demo_detector))
    with StartupListener("127.0.0.1", 0) as startup, ExitStack() as stack:
        listener = startup.hand_over()
        connections = [stack.enter_context(socket.create_connection(listener.getsockname(), LONG)) for _ in range(20)]
        for each in connections:
            each.sendall(ASKED)

        def end() -> None:
            server.should_exit = True

        server = _Server(app, 512, end, Shutdown(timeout=LONG))
        running = threading.Thread(target=server.run, args=([listener],))
        running.start()
        received = [answer(each) for each in connections]
        running.join(LONG)
    assert {each.partition("\r\n")[0] for each in received} == {"HTTP/1.1 200 OK"}
