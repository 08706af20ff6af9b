"""Waiting until something is so, instead of sleeping for as long as it usually takes."""

import asyncio
import time
from collections.abc import Callable

SECONDS = 120  # a busy machine may be slow; one that is not never waits so long


def wait_until(true: Callable[[], object], seconds: float = SECONDS, seen: Callable[[], object] = str) -> None:
    """Wait until something is so; the failure shows what is ``seen`` then."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"it did not become so: {seen()}"
        time.sleep(0.05)


async def until(true: Callable[[], object], seconds: float = SECONDS) -> None:
    """Wait until something is so, while the event loop goes on."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not become so"
        await asyncio.sleep(0.01)
