"""From an image reference to the bytes of the file, by the form of the reference."""

import asyncio
from types import TracebackType
from typing import Any, Self

import aiohttp

from ml_backend.errors import ImageReferenceError
from ml_backend.http.address_guard import AddressGuard
from ml_backend.images.download import Download, FetchOptions, parse_url, reachable
from ml_backend.images.fetched import Fetched, in_time
from ml_backend.images.local import read_file, read_inline, read_storage
from ml_backend.images.references import (
    CloudReference,
    FileReference,
    HttpReference,
    ImageReference,
    InlineReference,
    LabelStudioReference,
    StorageReference,
)
from ml_backend.images.versions import ImageVersion, canonical
from ml_backend.label_studio.connections import LabelStudio
from ml_backend.label_studio.health import Finding, check
from ml_backend.label_studio.tasks import is_task_id
from ml_backend.settings import Settings


class ImageFetcher:
    """Fetches images; one per event loop, entered as an async context manager.

    The Label Studio that the operator configured has an HTTP session of its own, without the address guard.
    """

    def __init__(self, options: FetchOptions) -> None:
        self._options = options
        # Decoding data: URIs side by side is faster, but delays the event loop: 32 of 8 MB by 0.6 s, one after the other by 0.15 s.
        self._inline = asyncio.Semaphore(1)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return a fetcher with the limits, aliases and address guard of the settings."""
        guard = AddressGuard.from_settings(settings)
        return cls(FetchOptions(settings.image_max_bytes, settings.image_timeout, settings.url_aliases, guard))

    async def __aenter__(self) -> Self:
        self._trusted = _session()
        self._guarded = _session(socket_factory=self._options.guard.socket)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._trusted.close()
        await self._guarded.close()

    def _session_for(self, label_studio: LabelStudio | None) -> aiohttp.ClientSession:
        return self._trusted if label_studio is not None and label_studio.trusted else self._guarded

    def address(self, reference: ImageReference, label_studio: LabelStudio | None) -> str | None:
        """Return the canonical address of an image, without signatures, or None where it has none.

        Args:
            reference: of the image.
            label_studio: of the task.
        """
        aliases = self._options.url_aliases
        try:
            match reference:
                case HttpReference(url):
                    return canonical(reachable(parse_url(url), aliases, label_studio))
                case LabelStudioReference(path) if label_studio is not None:
                    return canonical(reachable(parse_url(label_studio.url_of(path)), aliases, label_studio))
                case CloudReference(uri) if label_studio is not None:
                    return f"{uri} in {label_studio.url}"
        except ValueError:  # not a URL: fetching it will give the error
            pass
        return None

    async def fetch(
        self,
        reference: ImageReference,
        label_studio: LabelStudio | None = None,
        task_id: object = None,
        *,
        unless: ImageVersion | None = None,
    ) -> Fetched | None:
        """Return the image, at most ``max_bytes`` of it, within the time limit.

        Args:
            reference: of the image.
            label_studio: of the task, for paths, cloud storage URIs and the token.
            task_id: the task's id in Label Studio, which resolves cloud storage URIs by task.
            unless: the known version; the server is asked to send the image only if it has changed.

        Returns:
            The image, or None where the server confirms that it is unchanged.

        Raises:
            ImageFetchError: unreachable, slow, not found, refused, empty, or too large.
            ImageReferenceError: the reference needs a Label Studio, but none is known, or is a data: URI without data.
        """
        options = self._options
        match reference:
            case InlineReference():
                async with self._inline:
                    return await asyncio.to_thread(read_inline, reference, options.max_bytes)
            case FileReference():
                return await asyncio.to_thread(read_file, reference, options.max_bytes)
            case StorageReference():
                read = asyncio.to_thread(read_storage, reference, options.max_bytes)
                return await in_time(read, options.timeout, reference)
            case HttpReference(url):
                address = url
            case LabelStudioReference(path):
                address = _known(label_studio, reference).url_of(path)
            case CloudReference(uri):
                if not is_task_id(task_id):  # it becomes part of a path that is requested with the token
                    raise ImageReferenceError(
                        f"{reference} is resolved by the task's id, which must be a positive whole number"
                    )
                address = _known(label_studio, reference).resolver_url(uri, task_id)
        return await Download(reference, label_studio, unless, options, self._session_for).run(address)

    async def check(self, label_studio: LabelStudio | None) -> Finding:
        """Tell whether Label Studio can be reached and accepts the token; never raises, and takes five seconds at most."""
        return await check(label_studio, self._session_for(label_studio))


def _session(**connector: Any) -> aiohttp.ClientSession:
    # No cookies: one that a server sets must not come back with another task's image. No limits of aiohttp's own, which are 100
    # connections and 300 s: the callers' places and ``timeout`` are the limits.
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, **connector),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(),
    )


def _known(label_studio: LabelStudio | None, reference: ImageReference) -> LabelStudio:
    if label_studio is None:
        raise ImageReferenceError(
            f"{reference} is kept by Label Studio, whose address is not known; set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY"
        )
    return label_studio
