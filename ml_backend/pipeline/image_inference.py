"""The part of a task's way that is about one picture, whoever asks for it.

image reference -> address -> bytes -> digest -> cache? -> pixels -> detector -> detections
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

from ml_backend.cache.cache import Cache
from ml_backend.cache.single_flight import SingleFlight
from ml_backend.detections import Detections
from ml_backend.errors import DetectorError, ImageDecodeError
from ml_backend.images.decoding.decode import DecodedImage
from ml_backend.images.decoding.pool import DecoderPool, Limits
from ml_backend.images.fetch import ImageFetcher
from ml_backend.images.fetched import Fetched
from ml_backend.images.perceptual_hash import perceptual_hash
from ml_backend.images.references import CloudReference, ImageReference
from ml_backend.images.versions import ImageVersion
from ml_backend.inference.detector import Detector
from ml_backend.label_studio.connections import LabelStudio
from ml_backend.label_studio.health import Finding
from ml_backend.metrics import Metrics
from ml_backend.pipeline.cache_keys import address_key, detection_key, input_shaping
from ml_backend.settings import Settings

T = TypeVar("T")
Place = Callable[[], AbstractAsyncContextManager[object]]


@dataclass(frozen=True, slots=True)
class ImageDetections:
    """What was found in which version of a picture, and at which address, if it has one."""

    detections: Detections
    version: ImageVersion
    address: str | None


@dataclass(frozen=True, slots=True)
class Examined:
    """What is in a picture, its :func:`~ml_backend.images.perceptual_hash`, and whether the detector ran for it."""

    detections: Detections
    perceptual_hash: int
    computed: bool


class ImageInference:
    """Finds what is in pictures, each once; entered as an async context manager, used from one event loop."""

    def __init__(self, settings: Settings, detector: Detector, metrics: Metrics) -> None:
        self._settings = settings
        self._detector = detector
        self._metrics = metrics
        self._shaping = input_shaping(settings.model_input_max_side)
        self.cache = Cache.from_settings(settings, metrics)
        self._by_address: SingleFlight[ImageDetections] = SingleFlight()
        waits = metrics.single_flight_waits.labels("process")
        self._by_content: SingleFlight[Detections] = SingleFlight(waits.inc)
        # Decoding and the model share the workers, so a decoded picture never waits: as many are in memory as there are workers.
        self._workers = ThreadPoolExecutor(settings.inference_workers, thread_name_prefix="inference")
        self._decoders = DecoderPool(Limits.from_settings(settings))
        self._in_flight = asyncio.Semaphore(settings.max_concurrent_images)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.cache.close)
            self._fetcher = await stack.enter_async_context(ImageFetcher.from_settings(self._settings))
            stack.callback(self._workers.shutdown, wait=False, cancel_futures=True)
            stack.callback(self._decoders.close)
            self._workers.submit(self._decoders.start)
            stack.push_async_callback(self._by_content.close)
            stack.push_async_callback(self._by_address.close)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def address(self, reference: ImageReference, home: LabelStudio | None) -> str | None:
        """Return what names a picture for good, or None where only its content does."""
        return self._fetcher.address(reference, home)

    async def look(
        self,
        reference: ImageReference,
        home: LabelStudio | None = None,
        task_id: object = None,
        *,
        place: Place = nullcontext,
        trusted: str | None = None,
    ) -> ImageDetections:
        """Return everything that the detector finds in one picture.

        Args:
            reference: which picture.
            home: the Label Studio of the task.
            task_id: the task's id in Label Studio.
            place: is entered before anything is fetched; what is known without that needs no place.
            trusted: digest of the picture, where the caller knows that it is still that one.

        Raises:
            PrelabelError: the picture cannot be had or read, or the detector failed on it.
        """
        address = self.address(reference, home)
        known = await self._recall(address, trusted)
        certain = trusted is not None or (home is not None and home.shared_across_projects)
        if known is not None and known.version.final and certain:
            self._metrics.fetches.labels("remembered").inc()
            return known
        async with place():
            if address is None:
                return await self._fetch_and_detect(reference, address, home, task_id, known)
            # Shared only by those who ask for the very same with the same token: a signature is a permission too, and Label
            # Studio resolves cloud storage by the task.
            whose = (id(home.headers), home.url) if home else None
            asked = repr((whose, task_id if isinstance(reference, CloudReference) else None, reference))
            return await self._by_address.run(
                asked, lambda: self._fetch_and_detect(reference, address, home, task_id, known)
            )

    async def _recall(self, address: str | None, trusted: str | None) -> ImageDetections | None:
        version = None
        if trusted is not None:
            version = ImageVersion(trusted, final=True)
        elif address is not None and self._settings.remember_addresses:
            version = await self.cache.get(address_key(address), ImageVersion.from_bytes)
        if version is None:
            return None
        key = self._key_of(version)
        detections = await self.cache.get(key, Detections.from_bytes)
        return None if detections is None else ImageDetections(detections, version, address)

    async def _fetch_and_detect(
        self,
        reference: ImageReference,
        address: str | None,
        home: LabelStudio | None,
        task_id: object,
        known: ImageDetections | None,
    ) -> ImageDetections:
        async with self._in_flight:
            with self._metrics.images_in_flight.track_inprogress():
                fetched = await self._fetcher.fetch(reference, home, task_id, unless=known.version if known else None)
                if fetched is None:
                    assert known is not None  # noqa: S101 - only what was named can be unchanged
                    self._metrics.fetches.labels("unchanged").inc()
                    return known
                self._metrics.fetches.labels("transfer").inc()
                detections = await self._detect(reference, fetched)
        if address is not None and fetched.version.can_be_asked_for and self._settings.remember_addresses:
            await self.cache.put({address_key(address): fetched.version.to_bytes()})
        return ImageDetections(detections, fetched.version, address)

    async def fetch(
        self, reference: ImageReference, home: LabelStudio | None = None, task_id: object = None
    ) -> Fetched:
        """Return a picture's bytes, whatever is known about it.

        Raises:
            PrelabelError: it cannot be had.
        """
        fetched = await self._fetcher.fetch(reference, home, task_id)
        assert fetched is not None  # noqa: S101 - nothing was named that it could be unchanged from
        self._metrics.fetches.labels("transfer").inc()
        return fetched

    async def examine(self, reference: ImageReference, fetched: Fetched) -> Examined:
        """Find what is in a fetched picture, and what it looks like.

        Both come from the same pixels, so it does not matter to the result whether the detections were known.

        Raises:
            PrelabelError: the picture cannot be read, or the detector failed on it.
        """
        hashes: list[int] = []

        def note(decoded: DecodedImage) -> None:
            hashes.append(perceptual_hash(decoded.pixels))

        detections = await self._detect(reference, fetched, note)
        computed = bool(hashes)
        if not computed:
            await self._in_worker(lambda: note(self._decode(fetched.data)))
        return Examined(detections, hashes[0], computed)

    async def _detect(
        self, reference: ImageReference, fetched: Fetched, note: Callable[[DecodedImage], None] | None = None
    ) -> Detections:
        """Find what is in a picture; ``note`` gets its pixels if they had to be decoded."""
        key = self._key_of(fetched.version)

        def decode_and_run() -> Detections:
            decoded = self._decode(fetched.data)
            if note is not None:
                note(decoded)
            self._metrics.model_runs.inc()
            return self._detector.run(decoded.pixels, (decoded.width, decoded.height))

        try:
            return await self._by_content.run(
                key,
                lambda: self.cache.get_or_compute(
                    key,
                    lambda: self._in_worker(decode_and_run),
                    encode=Detections.to_bytes,
                    decode=Detections.from_bytes,
                ),
            )
        except (ImageDecodeError, DetectorError) as error:
            raise fetched.failure(reference, error) from error

    async def _in_worker(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._workers, work)

    def _decode(self, image: bytes) -> DecodedImage:
        return self._decoders.decode(image, self._settings.model_input_max_side)

    def _key_of(self, version: ImageVersion) -> str:
        return detection_key(self._detector.fingerprint, self._shaping, version.digest)

    async def check_label_studio(self, home: LabelStudio | None) -> Finding:
        """Tell whether a Label Studio can be reached and takes the token."""
        return await self._fetcher.check(home)
