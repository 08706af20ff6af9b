"""Refuses request bodies that are too large before they are in memory."""

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


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
        message = f"over the limit of {self._max_bytes:,} bytes (PRELABEL_REQUEST_MAX_BYTES); select fewer tasks"
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self._max_bytes:
            error = {"code": "content_too_large", "message": message}
            await JSONResponse({"error": error}, 413)(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            part = await receive()
            received += len(part.get("body", b""))
            if received > self._max_bytes:
                raise HTTPException(413, message)  # the application lets this one through to its error handlers
            return part

        await self._app(scope, counted, send)
