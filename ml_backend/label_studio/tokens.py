"""Label Studio's three kinds of token, and the header that each is shown in.

========================  =====================================  ==========================================
legacy token              40 hex digits                          ``Authorization: Token <token>``
personal access token     JWT, ``token_type`` ``refresh``        never shown itself: exchanged for the next
access token              JWT, ``token_type`` ``access``         ``Authorization: Bearer <token>``, 300 s
========================  =====================================  ==========================================

Seen with Label Studio 1.23.2: a personal access token shown as it is, in either header, is refused.
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

RENEW_BEFORE = 30  # seconds before an access token's end at which the next one is asked for


def jwt_claims(token: str) -> dict[str, Any] | None:
    """Return what a JWT says of itself, or None where the token is no JWT. The signature is Label Studio's to check."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return None
    return claims if isinstance(claims, dict) else None


def token_kind(token: str) -> TokenKind:
    """Tell the kinds of token apart by their form."""
    claims = jwt_claims(token)
    if claims is None:
        return "legacy"
    return "personal" if claims.get("token_type") == "refresh" else "access"


class TokenHeaders:
    """Gives the header for one token at one Label Studio, exchanging personal access tokens as needed.

    Many pictures that need a new access token at the same time cause one exchange.

    Attributes:
        kind: of the token.
        refused: whether Label Studio refused the token (401) when it was last shown.
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
        """Return the ``Authorization`` header; asks Label Studio for an access token where that is due.

        Raises:
            ImageFetchError: Label Studio does not exchange the personal access token.
            aiohttp.ClientError: it cannot be reached.
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
        """Drop the access token in ``headers``, which was refused; tells whether another try with a new one makes sense."""
        if self.kind != "personal":
            return False
        if headers.get("Authorization") == f"Bearer {self._access}":
            self._renew_at = 0.0
        return True

    def gives_way_to(self, token: str) -> bool:
        """Tell whether another token should be used instead, because this one is refused."""
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
        return "it is in trouble itself; its log says more"
    return "that is not what Label Studio says; is LABEL_STUDIO_URL its address?"


def _access_in(body: bytes) -> str:
    try:
        return str(json.loads(body)["access"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
