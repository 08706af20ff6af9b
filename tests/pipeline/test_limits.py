import asyncio

import pytest
from waiting import until

from ml_backend.pipeline.limits import ImageLimits


async def goes_through(limits: ImageLimits, request: asyncio.Semaphore, *, late: bool) -> bool:
    """Tell whether one more image of a request may be fetched now."""
    try:
        async with asyncio.timeout(0.05), limits.slot(request, late=late):
            return True
    except TimeoutError:
        return False


@pytest.mark.parametrize(
    ("images", "taken", "late", "same_request", "expected"),
    [
        (8, 3, False, True, True),
        (8, 4, False, True, False),
        (8, 4, False, False, True),
        (8, 2, True, False, False),
        (8, 1, True, False, True),
        (1, 1, False, True, False),
        (1, 1, True, False, False),
    ],
    ids=[
        "less than half",
        "half of all is the most for one request",
        "another request has its own half",
        "a quarter of all is the most for late work of all requests",
        "less than a quarter",
        "one image at a time, in time",
        "one image at a time, late",
    ],
)
async def test_images_of_a_request_and_of_late_work_are_limited(
    images: int, taken: int, late: bool, same_request: bool, expected: bool
) -> None:
    """Each request gets half of all images, and all late work together a quarter; both get at least one."""
    limits = ImageLimits(images)
    first = limits.of_request()
    release, entered = asyncio.Event(), []

    async def hold() -> None:
        async with limits.slot(first, late=late):
            entered.append(1)
            await release.wait()

    holders = [asyncio.create_task(hold()) for _ in range(taken)]
    await until(lambda: len(entered) == taken)
    assert await goes_through(limits, first if same_request else limits.of_request(), late=late) is expected
    if late:  # work that somebody waits for is not held up by late work of other requests
        assert await goes_through(limits, limits.of_request(), late=False)
    release.set()
    await asyncio.gather(*holders)
