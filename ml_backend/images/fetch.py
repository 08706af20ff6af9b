"""From an image reference to the bytes of the file: over HTTP with limits, from the task itself, or from this machine's disk."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
import fsspec
from yarl import URL

from ml_backend.errors import (
    ImageFetchError,
    ImageReferenceError,
    ImageRefusedError,
    ImageUnreachableError,
    NotAnImageError,
    PrelabelError,
    TokenRefusedError,
)
from ml_backend.http.address_guard import AddressGuard, BlockedAddressError
from ml_backend.http.bounded_body import TooLargeError, read_at_most
from ml_backend.http.network_errors import network_cause, storage_cause
from ml_backend.images import data_uri
from ml_backend.images.references import (
    CloudReference,
    FileReference,
    HttpReference,
    ImageReference,
    InlineReference,
    LabelStudioReference,
    StorageReference,
    unavailable,
)
from ml_backend.images.versions import ImageVersion, canonical, is_final, named, validators
from ml_backend.label_studio.connections import LabelStudio, readdress
from ml_backend.label_studio.health import Finding, check, refusal_hint
from ml_backend.label_studio.tasks import is_task_id
from ml_backend.settings import Settings

MAX_REDIRECTS = 5
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fetched:
    """A picture's bytes.

    Attributes:
        data: all of them.
        version: which version of the picture they are.
        foreign: whether a host had a part in it that is not the operator's Label Studio, so that strangers must not learn
            what else than a picture came.
    """

    data: bytes
    version: ImageVersion
    foreign: bool = False

    def failure(self, reference: ImageReference, error: PrelabelError) -> PrelabelError:
        """Return an error about these bytes as one that says which picture it is about."""
        text = f"{reference}: {error}"
        if self.foreign and isinstance(error, NotAnImageError):
            return ImageRefusedError(text, public=unavailable(reference))
        return type(error)(text)


class ImageFetcher:
    """Fetches pictures; one per event loop, entered as an async context manager.

    Two HTTP sessions keep two worlds apart: the Label Studio that the operator named, which is exempt from the address guard,
    and everything else.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # Threads that decode large URIs side by side are no faster, and keep the interpreter's lock from the event loop.
        self._decoding = asyncio.Semaphore(1)

    async def __aenter__(self) -> Self:
        # A cookie that one server sets must not come back with another task's picture.
        self._trusted = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        guarded = aiohttp.TCPConnector(socket_factory=AddressGuard(self._settings).socket)
        self._guarded = aiohttp.ClientSession(connector=guarded, cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._trusted.close()
        await self._guarded.close()

    def address(self, reference: ImageReference, home: LabelStudio | None) -> str | None:
        """Return what names the picture for good, whoever signs it: the canonical address, or None where it has none.

        Args:
            reference: which picture.
            home: the Label Studio of the task.
        """
        try:
            match reference:
                case HttpReference(url):
                    return canonical(self._reachable(_url(url), home))
                case LabelStudioReference(path) if home is not None:
                    return canonical(self._reachable(_url(home.at(path)), home))
                case CloudReference(uri) if home is not None:
                    return f"{uri} in {home.url}"
        except ValueError:  # not an address at all, as fetching it will tell
            pass
        return None

    async def fetch(
        self,
        reference: ImageReference,
        home: LabelStudio | None = None,
        task_id: object = None,
        *,
        unless: ImageVersion | None = None,
    ) -> Fetched | None:
        """Return the picture, at most ``image_max_bytes`` of it, within ``image_timeout`` seconds.

        Args:
            reference: which picture.
            home: the Label Studio of the task, for paths, cloud storage URIs and the token.
            task_id: the task's id in Label Studio, which resolves cloud storage URIs by task.
            unless: the version that is known; the server is asked to send the picture only if that is not the one any more.

        Returns:
            The picture, or None where the server says that it is still that version.

        Raises:
            ImageFetchError: unreachable, slow, not found, refused, empty, or too large.
            ImageReferenceError: the reference is one of Label Studio's, but none is known, or a data: URI without data.
        """
        match reference:
            case InlineReference():
                async with self._decoding:
                    return await asyncio.to_thread(self._decode, reference)
            case FileReference():
                return await asyncio.to_thread(self._read_file, reference)
            case StorageReference(uri):
                return await self._in_time(asyncio.to_thread(self._read_stored, uri, reference), reference)
            case HttpReference(url):
                address = url
            case LabelStudioReference(path):
                address = _known(home, reference).at(path)
            case CloudReference(uri):
                if not is_task_id(task_id):  # it becomes a part of a path that is asked for with the token
                    raise ImageReferenceError(
                        f"{reference} is resolved by the task's id, which must be a positive whole number"
                    )
                address = _known(home, reference).resolver_of(uri, task_id)
        return await self._download(address, reference, home, unless)

    def _decode(self, reference: InlineReference) -> Fetched:
        try:
            return _with_digest(data_uri.decode(reference.uri, self._settings.image_max_bytes))
        except TooLargeError:
            raise self._too_large(reference) from None

    def _read_file(self, reference: FileReference) -> Fetched:
        try:
            self._check_size(reference.path.stat().st_size, reference)
            return _with_digest(reference.path.read_bytes())
        except OSError as error:
            raise ImageRefusedError(f"{reference} cannot be read: {error.strerror or error}") from None

    def _read_stored(self, uri: str, reference: StorageReference) -> Fetched:
        limit = self._settings.image_max_bytes
        try:
            with fsspec.open(uri, "rb") as file:
                data = file.read(limit + 1)
        except (FileNotFoundError, PermissionError, ImportError) as error:
            raise ImageRefusedError(f"{reference} cannot be read: {storage_cause(error)}") from None
        except Exception as error:  # each storage's client has errors of its own
            raise ImageFetchError(f"{reference} cannot be read: {storage_cause(error)}") from None
        self._check_size(len(data), reference)
        return _with_digest(data)

    async def _in_time(self, work: Awaitable[T], reference: ImageReference) -> T:
        limit = self._settings.image_timeout
        try:
            async with asyncio.timeout(limit):
                return await work
        except TimeoutError:
            raise ImageFetchError(f"{reference} did not arrive within {limit:g} s (PRELABEL_IMAGE_TIMEOUT)") from None

    async def _download(
        self, address: str, reference: ImageReference, home: LabelStudio | None, unless: ImageVersion | None
    ) -> Fetched | None:
        strangers: list[URL] = []
        try:
            return await self._in_time(self._follow(address, reference, home, unless, strangers), reference)
        except ImageFetchError as error:
            failure = error
        except TooLargeError:
            failure = ImageFetchError(
                f"{reference} cannot be fetched: what Label Studio says of its token is far too long"
            )
        except (aiohttp.ClientError, ValueError) as error:
            # What the address guard refuses, it refuses each time.
            blocked = isinstance(error, aiohttp.ClientConnectorError) and isinstance(
                error.os_error, BlockedAddressError
            )
            away = isinstance(error, aiohttp.ClientConnectionError)
            kind = ImageRefusedError if blocked else ImageUnreachableError if away else ImageFetchError
            failure = kind(f"{reference} cannot be fetched: {network_cause(error)}")
        if strangers:
            # A refused token has a code of its own, which only the operator's Label Studio may cause.
            kind = ImageRefusedError if isinstance(failure, TokenRefusedError) else type(failure)
            failure = kind(str(failure), public=unavailable(reference))
        raise failure

    async def _follow(
        self,
        address: str,
        reference: ImageReference,
        home: LabelStudio | None,
        unless: ImageVersion | None,
        strangers: list[URL],
    ) -> Fetched | None:
        """Fetch from an address and those that it redirects to; ``strangers`` gets all but the operator's Label Studio."""
        # Redirects are followed by hand, since each hop decides anew whether it may see the token and what is asked of it.
        url = first = self._reachable(_url(address), home)
        for _ in range(MAX_REDIRECTS + 1):
            resolves = (
                isinstance(reference, CloudReference) and url == first
            )  # this address was built here, not named by a task
            keeper = home if home and (home.serves(url) or (resolves and home.is_home(url))) else None
            if keeper is None or not keeper.trusted:
                strangers.append(url)
            conditions = unless.conditions(url) if unless else {}
            async with self._get(url, keeper, conditions) as response:
                if response.status in {301, 302, 303, 307, 308} and "Location" in response.headers:
                    url = self._reachable(url.join(_url(response.headers["Location"])), home)
                    if url.scheme not in {"http", "https"} or not url.host:
                        raise ImageRefusedError(f"{reference} redirects to something that is not http(s)")
                    continue
                if response.status == 304 and conditions:
                    return None
                if response.status != 200:
                    hint = refusal_hint(response, home, kept=keeper is not None)
                    raise _refusal(response, keeper)(f"{reference} answered {response.status} {response.reason}{hint}")
                data, digest = await self._read(response, reference)
                etag, modified = validators(response.headers)
                final = home is not None and home.shared_across_projects and is_final(home.path_of(first))
                version = ImageVersion(digest, final, named(url), etag, modified)
                return Fetched(data, version, foreign=bool(strangers))
        raise ImageRefusedError(f"{reference} redirects more than {MAX_REDIRECTS} times")

    def _reachable(self, url: URL, home: LabelStudio | None) -> URL:
        text = readdress(str(url), self._settings.url_aliases)
        if home is not None:
            text = readdress(text, dict.fromkeys(home.known_as, home.url))
        return url if text == str(url) else _url(text)

    @asynccontextmanager
    async def _get(
        self, url: URL, keeper: LabelStudio | None, conditions: dict[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask for ``url``, with the token of the Label Studio that keeps the picture, if one does."""
        token = keeper.headers if keeper else None
        session = self._trusted if keeper and keeper.trusted else self._guarded
        if token:
            url = url.with_user(None)  # either the token or user and password, and here it is the token
        for attempt in ("first", "last"):
            headers = await token.get(session) if token else {}
            async with session.get(url, headers=headers | conditions, allow_redirects=False) as response:
                if token:
                    token.refused = response.status == 401
                    # An access token can be dropped before its time; a new one is worth one more try.
                    if token.refused and attempt == "first" and token.forget(headers):
                        continue
                yield response
                return

    async def _read(self, response: aiohttp.ClientResponse, reference: ImageReference) -> tuple[bytes, str]:
        digest = hashlib.sha256()  # as it arrives: all at once, a large picture would hold the event loop up
        try:
            body = await read_at_most(response, self._settings.image_max_bytes, digest.update)
        except TooLargeError:
            raise self._too_large(reference) from None
        if not body:
            raise ImageFetchError(f"{reference} answered {response.status} without a body")
        return body, digest.hexdigest()

    def _check_size(self, size: int, reference: ImageReference) -> None:
        if size > self._settings.image_max_bytes:
            raise self._too_large(reference)

    def _too_large(self, reference: ImageReference) -> ImageRefusedError:
        limit = self._settings.image_max_bytes
        return ImageRefusedError(f"{reference} is over the limit of {limit:,} bytes (PRELABEL_IMAGE_MAX_BYTES)")

    async def check(self, home: LabelStudio | None) -> Finding:
        """Tell whether Label Studio can be reached and takes the token; never raises, and takes five seconds at most."""
        session = self._trusted if home is not None and home.trusted else self._guarded
        return await check(home, session)


def _with_digest(data: bytes) -> Fetched:
    return Fetched(data, ImageVersion(hashlib.sha256(data).hexdigest()))


def _refusal(response: aiohttp.ClientResponse, keeper: LabelStudio | None) -> type[ImageFetchError]:
    if response.status == 401 and keeper is not None:
        return TokenRefusedError
    passes = response.status >= 500 or response.status in {408, 425, 429}
    return ImageFetchError if passes else ImageRefusedError


def _known(home: LabelStudio | None, reference: ImageReference) -> LabelStudio:
    if home is None:
        raise ImageReferenceError(
            f"{reference} is kept by Label Studio, whose address is not known; set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY"
        )
    return home


def _url(text: str) -> URL:
    # A URL that is already fully encoded must reach the server letter by letter, or a presigned one loses its signature.
    encoded = text.isascii() and not any(character.isspace() for character in text)
    return URL(text, encoded=encoded)
