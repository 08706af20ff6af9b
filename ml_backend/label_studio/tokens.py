"""The three kinds of Label Studio tokens, and their headers.

========================  =====================================  ==========================================
legacy token              40 hex digits                          ``Authorization: Token <token>``
personal access token     JWT, ``token_type`` ``refresh``        none: exchanged for an access token
access token              JWT, ``token_type`` ``access``         ``Authorization: Bearer <token>``, 300 s
========================  =====================================  ==========================================

Label Studio 1.23.2 refuses a personal access token in either header.
"""

import asyncio
import base64
import binascii
import json
import time
from typing import Any, Literal

import aiohttp

from ml_backend.errors import ImageFetchError, TokenRefusedError
from ml_backend.http.bounded_body import SMALL_ANSWER, read_at_most

TokenKind = Literal["legacy", "personal", "access"]

RENEW_BEFORE = 30  # seconds before the expiry of an access token; it is renewed then


def jwt_claims(token: str) -> dict[str, Any] | None:
    """Return the claims of a JWT, or None where the token is not a JWT. Only Label Studio can check the signature."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return None
    return claims if isinstance(claims, dict) else None


def token_kind(token: str) -> TokenKind:
    """Return the kind of a token, by its form."""
    claims = jwt_claims(token)
    if claims is None:
        return "legacy"
    return "personal" if claims.get("token_type") == "refresh" else "access"


class TokenHeaders:
    """Gives the header of one token for one Label Studio, and exchanges personal access tokens as needed.

    Concurrent callers that need a new access token share one exchange.

    Attributes:
        kind: of the token.
        refused: whether Label Studio refused the token (401) at its last use.
    """

    def __init__(self, label_studio_url: str, token: str) -> None:
        self.kind = token_kind(token)
        self.refused = False
        self._exchange_url = f"{label_studio_url}/api/token/refresh/"
        self._token = token
        self._access = ""
        self._renew_at = 0.0  # on the monotonic clock, which no time server sets back
        self._exchange = asyncio.Lock()

    async def get(self, session: aiohttp.ClientSession) -> dict[str, str]:
        """Return the ``Authorization`` header; requests an access token from Label Studio where necessary.

        Raises:
            ImageFetchError: Label Studio does not exchange the personal access token.
            aiohttp.ClientError: Label Studio cannot be reached.
        """
        if self.kind == "legacy":
            return {"Authorization": f"Token {self._token}"}
        if self.kind == "access":
            return {"Authorization": f"Bearer {self._token}"}
        async with self._exchange:
            if time.monotonic() >= self._renew_at:
                await self._renew(session)
            return {"Authorization": f"Bearer {self._access}"}

    def forget(self, headers: dict[str, str]) -> bool:
        """Drop the refused access token in ``headers``; tells whether a retry with a new one makes sense."""
        if self.kind != "personal":
            return False
        if headers.get("Authorization") == f"Bearer {self._access}":
            self._renew_at = 0.0
        return True

    def gives_way_to(self, token: str) -> bool:
        """Tell whether another token should replace this one, because Label Studio refuses this one."""
        return self.refused and token != self._token

    async def _renew(self, session: aiohttp.ClientSession) -> None:
        async with session.post(self._exchange_url, json={"refresh": self._token}, allow_redirects=False) as response:
            status = response.status
            access = _access_in(await read_at_most(response, SMALL_ANSWER)) if status == 200 else ""
        claims = jwt_claims(access)
        if claims is None:
            self.refused = status in {400, 401, 403}
            kind = TokenRefusedError if self.refused else ImageFetchError
            raise kind(f"Label Studio answered {status} to the personal access token: {_advice(status)}")
        lifetime = float(claims.get("exp", 0)) - float(claims.get("iat", claims.get("exp", 0)))
        self._access = access
        self._renew_at = time.monotonic() + max(0.0, lifetime - RENEW_BEFORE)


def _advice(status: int) -> str:
    if status in {400, 401, 403}:
        return "it was revoked or belongs to another Label Studio; make a new one under Account & Settings (LABEL_STUDIO_API_KEY)"
    if 300 <= status < 400:
        return "it redirects; set LABEL_STUDIO_URL to the address that it redirects to"
    if status >= 500:
        return "it failed; see its log"
    return "that is not an answer of Label Studio; check LABEL_STUDIO_URL"


def _access_in(body: bytes) -> str:
    try:
        return str(json.loads(body)["access"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
