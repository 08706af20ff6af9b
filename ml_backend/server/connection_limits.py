"""Limits on connections: how many there are, how long they may wait, and how large the head of a request may be.

uvicorn closes a connection that is idle after an answer, and nothing else: one that never sends a request, or sends it a byte at a
time, stays, until the process has no file descriptors left and answers nobody.
"""

import asyncio
import resource
from dataclasses import dataclass, field
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 10  # for the request line and the headers to arrive, also of the first request
BODY_SECONDS = 60  # for a whole body to arrive
HEAD_BYTES = 65_536  # of request line and headers; Label Studio's have some hundred
ANSWER_SECONDS = 60  # that a client may leave an answer unread

_FULL = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


@dataclass
class ConnectionLimits:
    """The bounds on the connections of one server.

    Attributes:
        connections: the most at once.
        waiting: those without a whole request, the longest waiting first.
    """

    connections: int
    waiting: dict["BoundedConnection", None] = field(default_factory=dict)

    @classmethod
    def within_open_files(cls, connections: int) -> "ConnectionLimits":
        """Return bounds that leave half of the file descriptors for pictures, databases and decoders; raises the soft limit first."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 4 * connections
        if soft < wanted:
            soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return cls(max(8, min(connections, soft // 2)))


class BoundedConnection(HttpToolsProtocol):
    """One connection to the service."""

    def __init__(self, *args: Any, limits: ConnectionLimits, **options: Any) -> None:
        super().__init__(*args, **options)
        self._limits = limits
        self._head_timer: asyncio.TimerHandle | None = None
        self._answer_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._body_arrives = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Make room for the connection, or refuse it where all others are being answered."""
        super().connection_made(transport)
        waiting = self._limits.waiting
        if len(self.connections) > self._limits.connections:
            if not waiting:
                transport.write(_FULL)
                transport.close()
                return
            next(iter(waiting)).end()
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._limits.waiting.pop(self, None)
        _cancel(self._head_timer)
        _cancel(self._answer_timer)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse a part of a request, and end the connection where its head is too large."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        self._head_bytes = 0 if self._body_arrives else self._head_bytes + len(data)
        if self._head_timer is not None and self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The headers are over the limit of {HEAD_BYTES} bytes.")

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        _cancel(self._head_timer)
        self._head_timer = None
        self._body_arrives = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Stop waiting: the request is whole."""
        self._body_arrives = False
        self._limits.waiting.pop(self, None)
        super().on_message_complete()
        if self.cycle.response_complete:
            self._expect_head()

    def on_response_complete(self) -> None:
        """Wait for the next request. The rest of a body that was refused is read and dropped, so that the client sees the answer."""
        super().on_response_complete()
        if not self.transport.is_closing() and self.cycle.response_complete:
            self._expect_head()

    def pause_writing(self) -> None:
        """Wait for the client to read, but not for ever."""
        super().pause_writing()
        self._answer_timer = self.loop.call_later(ANSWER_SECONDS, self.end)

    def resume_writing(self) -> None:
        """Go on with the answer."""
        _cancel(self._answer_timer)
        super().resume_writing()

    def end(self) -> None:
        """End the connection at once."""
        self._limits.waiting.pop(self, None)
        self.transport.abort()

    def _expect_head(self) -> None:
        _cancel(self._head_timer)
        self._head_bytes = 0
        self._limits.waiting[self] = None
        seconds = BODY_SECONDS if self._body_arrives else HEAD_SECONDS
        self._head_timer = self.loop.call_later(seconds, self.end)


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
