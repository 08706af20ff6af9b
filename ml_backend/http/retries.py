"""Retries after fixed pauses, with tenacity."""

from typing import Any

from tenacity import stop_after_attempt, wait_chain, wait_fixed


def pauses(*seconds: float) -> dict[str, Any]:
    """Return tenacity's arguments for a pause after each attempt but the last one, whose error is raised."""
    return {
        "wait": wait_chain(
            *map(wait_fixed, (*seconds, 0))
        ),  # tenacity asks for one after the last attempt too, and drops it
        "stop": stop_after_attempt(len(seconds) + 1),
        "reraise": True,
    }
