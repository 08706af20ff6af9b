"""The limits on work that goes on at once, in the order in which a request meets them.

=========================  ============================  =====================================================================
limit                      default                       reason
=========================  ============================  =====================================================================
connections                512 (server)                  memory and file descriptors
bytes and tasks            150 MB, 50,000 (server)       memory for one body
tasks started at once      1,000 of a request            50,000 asyncio tasks hold up the garbage collector, and with it everything
tasks started in one turn  50 of a request               other requests get their turn
images of one request      half of all images            the open task of one annotator does not wait behind a selection of 300
images of late work        a quarter of all images       nobody waits for the result; requests that are waited for go first
images in memory           32                            memory: a file, its pixels, its tensor
workers                    processors + 1                decoding and the model share them, so a decoded image never waits
images in tiles            2                             memory: the pixels of all their tiles; one is decoded while the other's tiles run
tiles of an image          as many as workers            any other work waits behind one round of tiles, however many there are
predictions in one turn    1 of a request                a thousand cached tasks at once would hold up ``/health`` for half a second
=========================  ============================  =====================================================================

The first two belong to :mod:`ml_backend.server`. The images in memory are counted once where several requests ask for one image at the
same time; the images of a request are counted for each task.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

MAX_TASKS_AT_ONCE = 1000
TASKS_PER_TURN = 50
TILED_AT_ONCE = 2


class ImageLimits:
    """The limits on images.

    Args:
        images: how many may be in memory at once (``PRELABEL_MAX_CONCURRENT_IMAGES``).
    """

    def __init__(self, images: int) -> None:
        self._per_request = max(1, images // 2)
        self._late = asyncio.Semaphore(max(1, images // 4))

    def of_request(self) -> asyncio.Semaphore:
        """Return the limit of one request."""
        return asyncio.Semaphore(self._per_request)

    @asynccontextmanager
    async def slot(self, of_request: asyncio.Semaphore, *, late: bool) -> AsyncIterator[None]:
        """Wait until one more image of a request may be fetched.

        Args:
            of_request: the limit of the request.
            late: whether the request was answered already.
        """
        async with of_request:
            if late:
                async with self._late:
                    yield
            else:
                yield
