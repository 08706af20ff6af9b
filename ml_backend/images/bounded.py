"""Reads the body of an HTTP answer, but not more of it than agreed."""

import aiohttp

CHUNK_BYTES = 1 << 16
SMALL_ANSWER = 1 << 16  # bytes; what Label Studio says about itself and its tokens is far shorter


class TooLargeError(Exception):
    """The body is larger than the limit."""


async def read_at_most(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Return the whole body, at most ``limit`` bytes of it, unpacked where it came compressed.

    Raises:
        TooLargeError: it is larger; not much more than ``limit`` bytes were held in memory.
    """
    if (response.content_length or 0) > limit:
        raise TooLargeError
    body = bytearray()
    async for chunk in response.content.iter_chunked(CHUNK_BYTES):
        body += chunk
        if len(body) > limit:
            raise TooLargeError
    return bytes(body)
