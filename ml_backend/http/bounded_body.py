"""Reads bodies of HTTP responses up to a limit."""

from collections.abc import Callable

import aiohttp

CHUNK_BYTES = 1 << 16
SMALL_ANSWER = 1 << 16  # bytes; Label Studio's answers about users and tokens are far shorter


class TooLargeError(Exception):
    """The body is larger than the limit."""


async def read_at_most(
    response: aiohttp.ClientResponse, limit: int, each: Callable[[bytes], object] = lambda _: None
) -> bytes:
    """Return the whole body, decompressed.

    Args:
        response: with the body to read.
        limit: in bytes.
        each: called with each part of the body as it arrives, of 64 kB at most.

    Raises:
        TooLargeError: the body is larger; at most 64 kB more than ``limit`` were held in memory.
    """
    if (response.content_length or 0) > limit:
        raise TooLargeError
    body = bytearray()
    async for chunk in response.content.iter_chunked(CHUNK_BYTES):
        body += chunk
        each(chunk)
        if len(body) > limit:
            raise TooLargeError
    return bytes(body)
