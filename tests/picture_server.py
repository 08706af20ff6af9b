"""A real HTTP server on loopback that answers as told: well, badly, slowly, or not to the end."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answer:
    """What one path is answered with.

    Attributes:
        announced: Content-Length that is claimed, where it is not the true one; -1 leaves the header out.
        delay: seconds before anything is sent.
        held: whether nothing is sent before :meth:`PictureServer.release`.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    announced: int | None = None
    delay: float = 0
    held: bool = False


class PictureServer:
    """Answers by path, and remembers what was asked with which headers."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: dict[str, Answer] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self._let_go: set[str] = set()  # paths; "" for all
        self._change = threading.Condition()

    def add(self, path: str, answer: Answer | bytes) -> str:
        """Answer ``path`` from now on; gives the full URL."""
        self.answers[path] = answer if isinstance(answer, Answer) else Answer(answer)
        return self.url + path

    def release(self, path: str = "") -> None:
        """Send what is held under a path, or under all of them, and hold it no more."""
        with self._change:
            self._let_go.add(path)
            self._change.notify_all()

    def answer(self, path: str, headers: dict[str, str]) -> Answer:
        """Remember a request; gives its answer when the time has come."""
        name = path.partition("?")[0]
        answer = self.answers.get(name, Answer(status=404))
        self.requests.append((path, headers))
        time.sleep(answer.delay)
        if answer.held:
            with self._change:
                self._change.wait_for(lambda: not self._let_go.isdisjoint({"", name}))
        return answer

    def headers_of(self, path: str) -> dict[str, str]:
        """Return the headers of the last request for ``path``."""
        return next(headers for asked, headers in reversed(self.requests) if asked == path)


def unchanged(asked: dict[str, str], says: dict[str, str]) -> bool:
    """Tell whether what was asked for only if changed is what there is."""
    pairs = (("If-None-Match", "ETag"), ("If-Modified-Since", "Last-Modified"))
    return any(condition in asked and asked[condition] == says.get(version) for condition, version in pairs)


@contextmanager
def picture_server(host: str = "127.0.0.1") -> Iterator[PictureServer]:
    """Serve on a free port of a loopback address while the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = pictures.answer(self.path, dict(self.headers))
            if unchanged(dict(self.headers), answer.headers):
                answer = Answer(status=304, headers=answer.headers)
            try:
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if answer.announced != -1:
                    self.send_header(
                        "Content-Length", str(len(answer.body) if answer.announced is None else answer.announced)
                    )
                self.end_headers()
                self.wfile.write(answer.body)
            except (BrokenPipeError, ConnectionResetError):
                pass  # the client has given up, as some tests mean it to

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            """Stay silent."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 128  # of the base class's 5, the sixth connection at the same time waits a second

    with Server((host, 0), Handler) as server:
        pictures = PictureServer(f"http://{host}:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield pictures
        finally:
            pictures.release()
            server.shutdown()
            thread.join()
