"""Downloads images over HTTP: redirects, Label Studio's token, conditional requests, and limits."""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from yarl import URL

from ml_backend.errors import ImageFetchError, ImageRefusedError, ImageUnreachableError, TokenRefusedError
from ml_backend.http.address_guard import AddressGuard, BlockedAddressError
from ml_backend.http.bounded_body import TooLargeError, read_at_most
from ml_backend.http.network_errors import network_cause
from ml_backend.images.fetched import Fetched, in_time, too_large
from ml_backend.images.references import CloudReference, ImageReference, unavailable
from ml_backend.images.versions import ImageVersion, is_final, named, validators
from ml_backend.label_studio.connections import LabelStudio, readdress
from ml_backend.label_studio.health import refusal_hint

MAX_REDIRECTS = 5


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """How images are fetched.

    Attributes:
        max_bytes: of one image file.
        timeout: in seconds, for one image.
        url_aliases: beginnings of URLs in tasks, and what to ask instead.
        guard: of all connections but those to the operator's Label Studio.
    """

    max_bytes: int
    timeout: float
    url_aliases: Mapping[str, str]
    guard: AddressGuard


@dataclass(slots=True)
class Download:
    """The download of one image.

    Attributes:
        reference: of the image.
        label_studio: of the task.
        known: the version that the server need not send again, or None.
        options: limits and aliases.
        session_for: gives the HTTP session for a Label Studio, or for every other host.
        untrusted: the URLs that were asked so far, but for those of the operator's Label Studio.
    """

    reference: ImageReference
    label_studio: LabelStudio | None
    known: ImageVersion | None
    options: FetchOptions
    session_for: Callable[[LabelStudio | None], aiohttp.ClientSession]
    untrusted: list[URL] = field(default_factory=list)

    async def run(self, address: str) -> Fetched | None:
        """Return the image at a URL, or None where the server confirms that it is still the known version.

        Raises:
            ImageFetchError: unreachable, slow, not found, refused, empty, or too large.
        """
        try:
            return await in_time(self._follow(address), self.options.timeout, self.reference)
        except ImageFetchError as error:
            failure = error
        except TooLargeError:
            text = f"{self.reference} cannot be fetched: Label Studio's answer about its token is too long"
            failure = ImageFetchError(text)
        except (aiohttp.ClientError, ValueError) as error:
            failure = _network_failure(self.reference, error)
        if self.untrusted:
            # TokenRefusedError has a code of its own, which only the operator's Label Studio may cause.
            kind = ImageRefusedError if isinstance(failure, TokenRefusedError) else type(failure)
            failure = kind(str(failure), public=unavailable(self.reference))
        raise failure

    async def _follow(self, address: str) -> Fetched | None:
        # Redirects are followed here and not by aiohttp: each hop decides anew about token and condition.
        url = first = self._reachable(parse_url(address))
        for _ in range(MAX_REDIRECTS + 1):
            server = self._label_studio_at(url, is_first=url == first)
            if server is None or not server.trusted:
                self.untrusted.append(url)
            conditions = self.known.conditions(url) if self.known else {}
            async with self._get(url, server, conditions) as response:
                if response.status in {301, 302, 303, 307, 308} and "Location" in response.headers:
                    url = self._reachable(url.join(parse_url(response.headers["Location"])))
                    if url.scheme not in {"http", "https"} or not url.host:
                        raise ImageRefusedError(f"{self.reference} redirects to a URL that is not http(s)")
                    continue
                if response.status == 304 and conditions:
                    return None
                if response.status != 200:
                    hint = refusal_hint(response, self.label_studio, kept=server is not None)
                    text = f"{self.reference} answered {response.status} {response.reason}{hint}"
                    raise _refusal(response, server)(text)
                return await self._read(response, first, url)
        raise ImageRefusedError(f"{self.reference} redirects more than {MAX_REDIRECTS} times")

    def _reachable(self, url: URL) -> URL:
        return reachable(url, self.options.url_aliases, self.label_studio)

    def _label_studio_at(self, url: URL, *, is_first: bool) -> LabelStudio | None:
        """Return the task's Label Studio where it serves the image at ``url``, so that the token may be sent there."""
        label_studio = self.label_studio
        if label_studio is None:
            return None
        # The first URL of a cloud reference is built by Prelabel, not by a task.
        resolves = is_first and isinstance(self.reference, CloudReference) and label_studio.has_host_of(url)
        return label_studio if resolves or label_studio.serves(url) else None

    @asynccontextmanager
    async def _get(
        self, url: URL, server: LabelStudio | None, conditions: dict[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        token = server.headers if server else None
        session = self.session_for(server)
        if token:
            url = url.with_user(None)  # credentials in the URL would replace the token's header
        for is_retry in (False, True):
            headers = await token.get(session) if token else {}
            async with session.get(url, headers=headers | conditions, allow_redirects=False) as response:
                if token:
                    token.refused = response.status == 401
                    if token.refused and not is_retry and token.forget(headers):
                        continue  # an access token can be revoked before it expires; a new one may be accepted
                yield response
                return

    async def _read(self, response: aiohttp.ClientResponse, first: URL, last: URL) -> Fetched:
        digest = (
            hashlib.sha256()
        )  # updated as the body arrives: hashing a large image at once would block the event loop
        try:
            data = await read_at_most(response, self.options.max_bytes, digest.update)
        except TooLargeError:
            raise too_large(self.reference, self.options.max_bytes) from None
        if not data:
            raise ImageFetchError(f"{self.reference} answered {response.status} without a body")
        label_studio = self.label_studio
        final = (
            label_studio is not None and label_studio.shared_across_projects and is_final(label_studio.path_of(first))
        )
        version = ImageVersion(digest.hexdigest(), final, named(last), *validators(response.headers))
        return Fetched(data, version, untrusted=bool(self.untrusted))


def reachable(url: URL, aliases: Mapping[str, str], label_studio: LabelStudio | None) -> URL:
    """Return the URL at which this machine reaches ``url``, with the aliases and the name that Label Studio gives itself replaced."""
    text = readdress(str(url), aliases)
    if label_studio is not None:
        text = readdress(text, dict.fromkeys(label_studio.known_as, label_studio.url))
    return url if text == str(url) else parse_url(text)


def parse_url(text: str) -> URL:
    """Return a URL that reaches the server character by character if it is encoded already: else a presigned one loses its signature."""
    encoded = text.isascii() and not any(character.isspace() for character in text)
    return URL(text, encoded=encoded)


def _network_failure(reference: ImageReference, error: Exception) -> ImageFetchError:
    kind = ImageFetchError
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, BlockedAddressError):
        kind = ImageRefusedError  # a retry would be blocked again
    elif isinstance(error, aiohttp.ClientConnectionError):
        kind = ImageUnreachableError
    return kind(f"{reference} cannot be fetched: {network_cause(error)}")


def _refusal(response: aiohttp.ClientResponse, server: LabelStudio | None) -> type[ImageFetchError]:
    if response.status == 401 and server is not None:
        return TokenRefusedError
    is_temporary = response.status >= 500 or response.status in {408, 425, 429}
    return ImageFetchError if is_temporary else ImageRefusedError
