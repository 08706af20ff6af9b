"""Reads the body of an HTTP answer, but not more of it than agreed."""

from collections.abc import Callable

import aiohttp

CHUNK_BYTES = 1 << 16
SMALL_ANSWER = 1 << 16  # bytes; what Label Studio says about itself and its tokens is far shorter


class TooLargeError(Exception):
    """The body is larger than the limit."""


async def read_at_most(
    response: aiohttp.ClientResponse, limit: int, each: Callable[[bytes], object] = lambda _: None
) -> bytes:
    """Return the whole body, at most ``limit`` bytes of it, unpacked where it came compressed.

    Args:
        response: whose body.
        limit: in bytes.
        each: is shown each part as it arrives, 64 kB at most.

    Raises:
        TooLargeError: it is larger; not much more than ``limit`` bytes were held in memory.
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
