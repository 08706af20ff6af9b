"""Refuses request bodies that are too large before they are in memory."""

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ml_backend.errors import RequestTooLargeError


class BodyLimit:
    """ASGI middleware that answers 413 where a body is announced as larger than the limit, or turns out to be."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting its bytes on the way."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self._max_bytes:
            await self._refuse(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise RequestTooLargeError(self._message())
            return message

        try:
            await self._app(scope, counted, send)
        except RequestTooLargeError:
            await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = {"code": RequestTooLargeError.code, "message": self._message()}
        await JSONResponse({"error": error}, RequestTooLargeError.status)(scope, receive, send)

    def _message(self) -> str:
        return f"the request is over the limit of {self._max_bytes:,} bytes (PRELABEL_REQUEST_MAX_BYTES); select fewer tasks"
