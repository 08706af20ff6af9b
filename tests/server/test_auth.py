from collections.abc import Callable

import httpx
import pytest

USER = {"basic_auth_user": "me", "basic_auth_pass": "pa:ss word"}


@pytest.mark.parametrize(
    ("auth", "status"),
    [
        (None, 401),
        (("me", "wrong"), 401),
        (("you", "pa:ss word"), 401),
        (("", ""), 401),
        (("me", "pa:ss word"), 200),
    ],
    ids=["nobody", "wrong password", "wrong user", "empty", "right"],
)
@pytest.mark.parametrize("path", ["/status", "/setup", "/predict", "/versions"])
def test_only_the_configured_user_gets_in(
    serve: Callable[..., str], path: str, auth: tuple[str, str] | None, status: int
) -> None:
    """401 says how to log in, as JSON like every error."""
    body = {"tasks": [], "label_config": "<View/>", "schema": "<View/>"}
    method = "GET" if path in {"/status", "/versions"} else "POST"
    answer = httpx.request(method, serve(**USER) + path, json=body, auth=auth)
    assert answer.status_code == status
    if status == 401:
        assert answer.headers["WWW-Authenticate"].startswith("Basic")
        assert answer.json()["error"]["code"] == "unauthorized"


def test_health_is_open(serve: Callable[..., str]) -> None:
    """Container health checks have no password."""
    assert httpx.get(serve(**USER) + "/health").status_code == 200
