"""Receives request bodies within limits of size and time."""

import asyncio

from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect

from ml_backend.server.connection_limits import BODY_SECONDS


async def receive(request: Request, limit: int, advice: str) -> bytearray:
    """Return the whole body, at most ``limit`` bytes of it.

    Args:
        request: whose body.
        limit: in bytes.
        advice: how to send less, for the message.

    Raises:
        HTTPException: 413 for a larger body, 408 for one that takes longer than :data:`BODY_SECONDS`, 400 for an incomplete one.
    """
    too_large = HTTPException(413, f"over the limit of {limit:,} bytes; {advice}")
    announced = request.headers.get("Content-Length", "0")
    if announced.isdecimal() and int(announced[:20]) > limit:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > limit:
                    raise too_large
    except TimeoutError:
        raise HTTPException(408, f"the body did not arrive within {BODY_SECONDS} s") from None
    except ClientDisconnect:
        raise HTTPException(400, "the connection ended before the body did") from None
    return body


def require_json(request: Request) -> None:
    """Require the content type JSON: browsers send forms to other sites without asking, with the user's password.

    Raises:
        HTTPException: 415.
    """
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, "the body must be JSON, with the header Content-Type: application/json")
