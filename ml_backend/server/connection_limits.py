"""Limits on connections: their number, the time to send a request or read a response, and the size of a request's head.

uvicorn closes connections that are idle after a response, and no others. Clients that send no request, or one byte at a time, would keep
theirs until the process has no file descriptors left.
"""

import asyncio
import resource
from dataclasses import dataclass, field
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 10  # for request line and headers to arrive, of the first request too
BODY_SECONDS = 60  # for a whole body to arrive
HEAD_BYTES = 65_536  # of request line and headers; Label Studio sends a few hundred
ANSWER_SECONDS = 60  # that a client may leave a response unread
LAST_SECONDS = 1  # for a request to arrive on a connection that was opened just before the service ends

_FULL = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


@dataclass
class ConnectionLimits:
    """The limit on the connections of one server.

    Attributes:
        connections: the most at once.
        waiting: connections whose request is incomplete, the longest waiting first.
        ends: whether the service ends: each response then closes its connection.
    """

    connections: int
    ends: bool = False
    waiting: dict["BoundedConnection", None] = field(default_factory=dict)

    @classmethod
    def within_open_files(cls, connections: int) -> "ConnectionLimits":
        """Return a limit that leaves half of the file descriptors to images, databases and decoders. Raises the soft limit first."""
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
        """Accept the connection. Above the limit, end the one that has waited longest, or refuse this one if none waits."""
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
        """Parse a part of a request, and refuse it if its head is too large."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        self._head_bytes = 0 if self._body_arrives else self._head_bytes + len(data)
        if self._head_timer is not None and self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The headers are over the limit of {HEAD_BYTES} bytes.")

    def on_headers_complete(self) -> None:
        """Stop the timer of the head."""
        _cancel(self._head_timer)
        self._head_timer = None
        self._body_arrives = True
        super().on_headers_complete()
        if self._limits.ends:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """Count the connection as answered, no longer as waiting: the request is complete."""
        self._body_arrives = False
        self._limits.waiting.pop(self, None)
        super().on_message_complete()
        if self.cycle.response_complete:
            self._expect_head()

    def on_response_complete(self) -> None:
        """Wait for the next request. The rest of a refused body is read and dropped first, so that the client sees the response."""
        super().on_response_complete()
        if not self.transport.is_closing() and self.cycle.response_complete:
            self._expect_head()

    def shutdown(self) -> None:
        """Close the connection after its response: now if it is idle after one, and a second later if its request has not arrived."""
        request_begins = self.cycle is None or (self.cycle.response_complete and self._head_bytes)
        if request_begins and not self.transport.is_closing():
            self._expect_head(LAST_SECONDS)
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        """Give the client a limited time to read the response."""
        super().pause_writing()
        self._answer_timer = self.loop.call_later(ANSWER_SECONDS, self.end)

    def resume_writing(self) -> None:
        """Stop the timer of the response."""
        _cancel(self._answer_timer)
        super().resume_writing()

    def end(self) -> None:
        """Close the connection at once."""
        self._limits.waiting.pop(self, None)
        self.transport.abort()

    def _expect_head(self, seconds: float = HEAD_SECONDS) -> None:
        _cancel(self._head_timer)
        self._head_bytes = 0
        self._limits.waiting[self] = None
        seconds = BODY_SECONDS if self._body_arrives else seconds
        self._head_timer = self.loop.call_later(seconds, self.end)


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
