import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from picture_server import Answer, PictureServer

from ml_backend.errors import ImageFetchError
from ml_backend.http.bounded_body import TooLargeError
from ml_backend.label_studio.tokens import RENEW_BEFORE, TokenHeaders, token_kind

LEGACY = "0123456789abcdef0123456789abcdef01234567"


def jwt(**claims: Any) -> str:
    """Return a JWT as Label Studio makes it; its signature is nobody's business here."""
    parts = ({"alg": "HS256", "typ": "JWT"}, claims)
    return ".".join(
        [*(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts), "sig"]
    )


PERSONAL = jwt(token_type="refresh", exp=8_102_551_959, user_id="1")


def access(seconds: float, number: int = 1) -> str:
    """Return an access token that lives so long."""
    now = int(time.time())
    return jwt(token_type="access", iat=now, exp=now + seconds, jti=number)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Give an HTTP session."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        (LEGACY, "legacy"),
        (PERSONAL, "personal"),
        (access(300), "access"),
        ("a.b.c", "legacy"),
        ("a.bnVsbA.c", "legacy"),
    ],
    ids=["legacy", "personal", "access", "dots but no JWT", "JWT of nothing"],
)
def test_kinds_are_told_apart_by_their_form(token: str, kind: str) -> None:
    """People put whichever they have into LABEL_STUDIO_API_KEY."""
    assert token_kind(token) == kind


async def test_legacy_and_access_tokens_are_shown_as_they_are(session: aiohttp.ClientSession) -> None:
    """No exchange, and each with its own word."""
    assert await TokenHeaders("http://ls", LEGACY).get(session) == {"Authorization": f"Token {LEGACY}"}
    token = access(300)
    assert await TokenHeaders("http://ls", token).get(session) == {"Authorization": f"Bearer {token}"}


async def test_personal_token_is_exchanged_once_for_many(
    session: aiohttp.ClientSession, pictures: PictureServer
) -> None:
    """Fifty pictures at the same time and one later: one exchange."""
    token = access(300)
    pictures.add("/api/token/refresh/", Answer(json.dumps({"access": token}).encode(), delay=0.1))
    headers = TokenHeaders(pictures.url, PERSONAL)
    shown = await asyncio.gather(*(headers.get(session) for _ in range(50)))
    assert [*shown, await headers.get(session)] == [{"Authorization": f"Bearer {token}"}] * 51
    assert len(pictures.requests) == 1


async def test_access_token_is_renewed_before_its_end(session: aiohttp.ClientSession, pictures: PictureServer) -> None:
    """One that would end while a picture is on its way is not shown any more."""
    url = "/api/token/refresh/"
    pictures.add(url, json.dumps({"access": access(RENEW_BEFORE + 0.2, 1)}).encode())
    headers = TokenHeaders(pictures.url, PERSONAL)
    first = await headers.get(session)
    pictures.add(url, json.dumps({"access": access(300, 2)}).encode())
    await asyncio.sleep(1.1)
    assert await headers.get(session) != first


async def test_refused_access_token_is_renewed_once(session: aiohttp.ClientSession, pictures: PictureServer) -> None:
    """Ten pictures that were refused with the same one cause one exchange."""
    pictures.add("/api/token/refresh/", json.dumps({"access": access(300, 1)}).encode())
    headers = TokenHeaders(pictures.url, PERSONAL)
    refused = await headers.get(session)
    pictures.add("/api/token/refresh/", json.dumps({"access": access(300, 2)}).encode())
    for _ in range(10):
        assert headers.forget(refused)
        await headers.get(session)
    assert len(pictures.requests) == 2


def test_refused_legacy_token_is_not_tried_again() -> None:
    """There is no other to be had for it."""
    assert not TokenHeaders("http://ls", LEGACY).forget({"Authorization": f"Token {LEGACY}"})


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(b'{"detail": "Token is invalid"}', status=401), "make a new one"),
        (Answer(b"<html>"), "check LABEL_STUDIO_URL"),
        (Answer(b"{}"), "check LABEL_STUDIO_URL"),
        (Answer(b'{"access": 5}'), "check LABEL_STUDIO_URL"),
        (Answer(b'{"access":' + b"[" * 50_000), "check LABEL_STUDIO_URL"),
        (Answer(status=500), "it failed; see its log"),
        (Answer(status=302, headers={"Location": "/elsewhere/"}), "it redirects"),
    ],
    ids=[
        "revoked",
        "not Label Studio",
        "no token in it",
        "nonsense in it",
        "deep nonsense",
        "server error",
        "redirect",
    ],
)
async def test_refused_exchange_says_what_to_do(
    session: aiohttp.ClientSession, pictures: PictureServer, answer: Answer, words: str
) -> None:
    """And shows the token neither to people nor to whoever it redirects to."""
    pictures.add("/api/token/refresh/", answer)
    with pytest.raises(ImageFetchError, match=words) as caught:
        await TokenHeaders(pictures.url, PERSONAL).get(session)
    assert PERSONAL not in str(caught.value)
    assert len(pictures.requests) == 1


@pytest.mark.parametrize(("status", "refused"), [(401, True), (403, True), (500, False), (302, False)])
async def test_refused_exchange_lets_another_token_in(
    session: aiohttp.ClientSession, pictures: PictureServer, status: int, refused: bool
) -> None:
    """Only where Label Studio says that the token is wrong, and only another one."""
    pictures.add("/api/token/refresh/", Answer(status=status))
    headers = TokenHeaders(pictures.url, PERSONAL)
    assert not headers.gives_way_to(LEGACY)
    with pytest.raises(ImageFetchError):
        await headers.get(session)
    assert headers.gives_way_to(LEGACY) == refused
    assert not headers.gives_way_to(PERSONAL)


async def test_endless_answer_is_cut_off(session: aiohttp.ClientSession, pictures: PictureServer) -> None:
    """Anybody can be named as Label Studio by a request; what it answers must not fill the memory."""
    pictures.add("/api/token/refresh/", Answer(b"x" * 1_000_000, announced=-1))
    with pytest.raises(TooLargeError):
        await TokenHeaders(pictures.url, PERSONAL).get(session)


@pytest.mark.parametrize("inside", ["[" * 100_000, "null", "5", "{"])
def test_odd_tokens_are_legacy_ones(inside: str) -> None:
    """Whatever stands between two dots."""
    assert token_kind("a." + base64.urlsafe_b64encode(inside.encode()).decode().rstrip("=") + ".c") == "legacy"
