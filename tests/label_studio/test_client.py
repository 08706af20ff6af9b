"""Requests to Label Studio are repeated as long as it may be restarting."""

import httpx
import pytest
from label_studio_sdk.core.api_error import ApiError

from ml_backend.errors import LabelStudioError
from ml_backend.label_studio.client import GoneError, StudioClient, UncertainError

AWAY = httpx.ConnectError("connection refused")


@pytest.mark.parametrize(
    ("pauses", "errors", "error", "calls"),
    [
        pytest.param((0.01, 0.01), [], None, 1, id="an answer at once"),
        pytest.param((0.01, 0.01), [AWAY], None, 2, id="away once"),
        pytest.param((0.01, 0.01), [AWAY, ApiError(status_code=502)], None, 3, id="away, then starting behind a proxy"),
        pytest.param((0.01, 0.01), [AWAY] * 3, "does not answer .connection refused.", 3, id="away until the end"),
        pytest.param((), [AWAY], "does not answer", 1, id="no pauses, no second try"),
        pytest.param((0.01,), [ApiError(status_code=429)] * 2, "x: status 429", 2, id="too many requests"),
        pytest.param((0.01,), [ApiError(status_code=401)], "refuses the token", 1, id="refusals are final"),
        pytest.param(
            (0.01,), [AWAY, ApiError(status_code=400)], "refused x: status 400", 2, id="refused after a while"
        ),
        pytest.param((0.01,), [ValueError("no JSON")], "not Label Studio", 1, id="something else answers"),
    ],
)
def test_requests_are_repeated_until_there_is_an_answer(
    pauses: tuple[float, ...], errors: list[Exception], error: str | None, calls: int
) -> None:
    """Once for each pause, and only where no answer came; errors say what happened."""
    left, made = list(errors), 0

    def call() -> str:
        nonlocal made
        made += 1
        if left:
            raise left.pop(0)
        return "answer"

    client = StudioClient("http://studio", "token", pauses)
    if error is None:
        assert client.ask("x", call) == "answer"
    else:
        with pytest.raises(LabelStudioError, match=error):
            client.ask("x", call)
    assert made == calls


def test_changes_are_tried_once() -> None:
    """What may have been done must not be done again."""

    def call() -> None:
        raise AWAY

    with pytest.raises(UncertainError):
        StudioClient("http://studio", "token", (0.01,)).change("x", call)


def test_missing_objects_have_an_error_of_their_own() -> None:
    """Events of a project that is gone are dropped some day."""

    def call() -> None:
        raise ApiError(status_code=404)

    with pytest.raises(GoneError, match="no such thing as x"):
        StudioClient("http://studio", "token").ask("x", call)
