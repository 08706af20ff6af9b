"""From an image reference to the bytes of the file: over HTTP with limits, from the task itself, or from this machine's disk."""

import asyncio
import os
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from ml_backend.errors import ImageFetchError
from ml_backend.images.guard import BlockedAddressError, guarded_socket_factory
from ml_backend.images.references import FileReference, HttpReference, ImageReference, InlineReference
from ml_backend.settings import Settings

MAX_REDIRECTS = 5
CHUNK_BYTES = 1 << 16


class ImageFetcher:
    """Fetches pictures; one per event loop, entered as an async context manager.

    Two HTTP sessions keep two worlds apart: Label Studio's own address, which alone gets the token and is exempt from the
    address guard, and everything else.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._label_studio_origin = URL(settings.label_studio_url).origin() if settings.label_studio_url else None

    async def __aenter__(self) -> Self:
        settings = self._settings
        headers = {}
        if settings.label_studio_api_key is not None:
            headers["Authorization"] = f"Token {settings.label_studio_api_key.get_secret_value()}"
        guard = guarded_socket_factory(settings.blocked_networks)
        self._label_studio = aiohttp.ClientSession(headers=headers)
        # A cookie that one stranger sets must not come back with another task's picture.
        self._strangers = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(socket_factory=guard), cookie_jar=aiohttp.DummyCookieJar()
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._label_studio.close()
        await self._strangers.close()

    async def fetch(self, reference: ImageReference) -> bytes:
        """Return the bytes of the picture, at most ``image_max_bytes`` of them, within ``image_timeout`` seconds.

        Raises:
            ImageFetchError: unreachable, slow, not found, refused, empty, or too large.
        """
        match reference:
            case InlineReference(data):
                self._check_size(len(data), reference)
                return data
            case FileReference():
                return await asyncio.to_thread(self._read_file, reference)
            case HttpReference():
                return await self._download(reference)

    def _read_file(self, reference: FileReference) -> bytes:
        try:
            self._check_size(reference.path.stat().st_size, reference)
            return reference.path.read_bytes()
        except OSError as error:
            raise ImageFetchError(f"{reference} cannot be read: {error.strerror or error}") from None

    async def _download(self, reference: HttpReference) -> bytes:
        limit = self._settings.image_timeout
        try:
            async with asyncio.timeout(limit):
                return await self._follow(reference)
        except TimeoutError:
            raise ImageFetchError(f"{reference} did not arrive within {limit:g} s (PRELABEL_IMAGE_TIMEOUT)") from None
        except (aiohttp.ClientError, ValueError) as error:
            raise ImageFetchError(f"{reference} cannot be fetched: {_cause(error)}") from None

    async def _follow(self, reference: HttpReference) -> bytes:
        # Redirects are followed by hand, since each hop decides anew whether it may see the token.
        url = _url(reference.url)
        for _ in range(MAX_REDIRECTS + 1):
            session = self._label_studio if url.origin() == self._label_studio_origin else self._strangers
            async with session.get(url, allow_redirects=False) as response:
                if response.status in {301, 302, 303, 307, 308} and "Location" in response.headers:
                    url = url.join(_url(response.headers["Location"]))
                    if url.scheme not in {"http", "https"} or not url.host:
                        raise ImageFetchError(f"{reference} redirects to something that is not http(s)")
                    continue
                if response.status != 200:
                    raise ImageFetchError(
                        f"{reference} answered {response.status} {response.reason}{self._hint(response)}"
                    )
                return await self._read(response, reference)
        raise ImageFetchError(f"{reference} redirects more than {MAX_REDIRECTS} times")

    async def _read(self, response: aiohttp.ClientResponse, reference: HttpReference) -> bytes:
        self._check_size(response.content_length or 0, reference)
        body = bytearray()
        async for chunk in response.content.iter_chunked(CHUNK_BYTES):
            body += chunk
            self._check_size(len(body), reference)
        if not body:
            raise ImageFetchError(f"{reference} answered {response.status} without a body")
        return bytes(body)

    def _check_size(self, size: int, reference: ImageReference) -> None:
        limit = self._settings.image_max_bytes
        if size > limit:
            raise ImageFetchError(f"{reference} is over the limit of {limit:,} bytes (PRELABEL_IMAGE_MAX_BYTES)")

    def _hint(self, response: aiohttp.ClientResponse) -> str:
        if response.status in {401, 403} and response.url.origin() == self._label_studio_origin:
            given = self._settings.label_studio_api_key is not None
            return ": Label Studio refuses the token in LABEL_STUDIO_API_KEY" if given else ": set LABEL_STUDIO_API_KEY"
        return ""


def _url(text: str) -> URL:
    # A URL that is already fully encoded must reach the server letter by letter, or a presigned one loses its signature.
    encoded = text.isascii() and not any(character.isspace() for character in text)
    return URL(text, encoded=encoded)


def _cause(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        inner = error.os_error
        if isinstance(inner, BlockedAddressError):
            return str(inner)
        reason = os.strerror(inner.errno) if inner.errno and inner.errno > 0 else inner.strerror or str(inner)
        return f"cannot connect to {error.host}:{error.port} ({reason})"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the server closed the connection without an answer"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the answer broke off before its end"
    return str(error) or type(error).__name__
