import socket
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
@pytest.mark.parametrize(
    "path", ["/status", "/setup", "/predict", "/versions", "/metrics", "/docs", "/docs/swagger-ui.css", "/openapi.json"]
)
def test_only_the_configured_user_gets_in(
    serve: Callable[..., str], path: str, auth: tuple[str, str] | None, status: int
) -> None:
    """401 says how to log in, as JSON like every error."""
    body = {"tasks": [], "label_config": "<View/>", "schema": "<View/>"}
    method = "POST" if path in {"/setup", "/predict"} else "GET"
    answer = httpx.request(method, serve(**USER) + path, json=body, auth=auth)
    assert answer.status_code == status
    if status == 401:
        assert answer.headers["WWW-Authenticate"].startswith("Basic")
        assert answer.json()["error"]["code"] == "unauthorized"


def test_health_is_open(serve: Callable[..., str]) -> None:
    """Container health checks have no password."""
    assert httpx.get(serve(**USER) + "/health").status_code == 200


@pytest.mark.parametrize("path", ["/predict", "/setup", "/explain"])
def test_body_is_not_read_before_the_password(serve: Callable[..., str], path: str) -> None:
    """A stranger's body costs nothing: the answer comes while most of it is still to be sent."""
    url = httpx.URL(serve(**USER) + path)
    with socket.create_connection((url.host, url.port or 80), timeout=30) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000000\r\n\r\n"
        connection.sendall(head.encode() + b"[" * 1000)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 401")
