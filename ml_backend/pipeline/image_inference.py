"""The way of one image, from its reference to its detections.

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
from ml_backend.inference.model import Model
from ml_backend.label_studio.connections import LabelStudio
from ml_backend.label_studio.health import Finding
from ml_backend.metrics import Metrics
from ml_backend.pipeline.cache_keys import address_key, detection_key, input_shaping
from ml_backend.settings import Settings

T = TypeVar("T")
Slot = Callable[[], AbstractAsyncContextManager[object]]


@dataclass(frozen=True, slots=True)
class ImageDetections:
    """The detections in an image, the version of the image, and its address, where it has one."""

    detections: Detections
    version: ImageVersion
    address: str | None


@dataclass(frozen=True, slots=True)
class ImageResult:
    """The result of the model for one image, as bulk jobs keep it.

    Attributes:
        digest: SHA-256 of the file's bytes, 64 hex digits.
        detections: encoded (:meth:`~ml_backend.detections.Detections.to_bytes`); empty if they are known by the digest.
        perceptual_hash: of the image, 64 bits (:func:`~ml_backend.images.perceptual_hash.perceptual_hash`).
        computed: whether the detector ran for this result.
    """

    digest: str
    detections: bytes = b""
    perceptual_hash: int = 0
    computed: bool = False


class ImageInference:
    """Detects objects in images, each image once. An async context manager, to be used from one event loop."""

    def __init__(self, settings: Settings, model: Model[Detections], metrics: Metrics) -> None:
        self._settings = settings
        self._model = model
        self._metrics = metrics
        self._shaping = input_shaping(settings.model_input_max_side)
        self.cache = Cache.from_settings(settings, metrics)
        self._by_address: SingleFlight[ImageDetections] = SingleFlight()
        waits = metrics.single_flight_waits.labels("process")
        self._by_content: SingleFlight[Detections] = SingleFlight(waits.inc)
        # Decoding and the model share the workers, so a decoded image never waits for the model.
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

    def address(self, reference: ImageReference, label_studio: LabelStudio | None) -> str | None:
        """Return the permanent address of an image, or None where only its content identifies it."""
        return self._fetcher.address(reference, label_studio)

    async def detect(
        self,
        reference: ImageReference,
        label_studio: LabelStudio | None = None,
        task_id: object = None,
        *,
        slot: Slot = nullcontext,
        known_digest: str | None = None,
    ) -> ImageDetections:
        """Return all detections in one image.

        Args:
            reference: the image.
            label_studio: the Label Studio of the task.
            task_id: the task's id in Label Studio.
            slot: a context that is entered before anything is fetched. An image that is known without a request needs none.
            known_digest: SHA-256 of the image in hex, where the caller knows that it has not changed.

        Raises:
            PrelabelError: the image cannot be fetched or decoded, or the model failed on it.
        """
        address = self.address(reference, label_studio)
        known = await self._recall(address, known_digest)
        certain = known_digest is not None or (label_studio is not None and label_studio.shared_across_projects)
        if known is not None and known.version.final and certain:
            self._metrics.fetches.labels("remembered").inc()
            return known
        async with slot():
            if address is None:
                return await self._fetch_and_detect(reference, address, label_studio, task_id, known)
            # Only requests for the same address with the same token share a fetch: a signature is a permission too, and Label
            # Studio resolves cloud storage by the task.
            owner = (id(label_studio.headers), label_studio.url) if label_studio else None
            request = repr((owner, task_id if isinstance(reference, CloudReference) else None, reference))
            return await self._by_address.run(
                request, lambda: self._fetch_and_detect(reference, address, label_studio, task_id, known)
            )

    async def _recall(self, address: str | None, known_digest: str | None) -> ImageDetections | None:
        version = None
        if known_digest is not None:
            version = ImageVersion(known_digest, final=True)
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
        label_studio: LabelStudio | None,
        task_id: object,
        known: ImageDetections | None,
    ) -> ImageDetections:
        async with self._in_flight:
            with self._metrics.images_in_flight.track_inprogress():
                fetched = await self._fetcher.fetch(
                    reference, label_studio, task_id, unless=known.version if known else None
                )
                if fetched is None:
                    assert known is not None  # noqa: S101 - only a known version can be unchanged
                    self._metrics.fetches.labels("unchanged").inc()
                    return known
                self._metrics.fetches.labels("transfer").inc()
                detections = await self._detect(reference, fetched)
        if address is not None and fetched.version.can_be_asked_for and self._settings.remember_addresses:
            await self.cache.put({address_key(address): fetched.version.to_bytes()})
        return ImageDetections(detections, fetched.version, address)

    async def fetch(
        self, reference: ImageReference, label_studio: LabelStudio | None = None, task_id: object = None
    ) -> Fetched:
        """Fetch an image, whether or not it is known.

        Raises:
            PrelabelError: it cannot be fetched.
        """
        fetched = await self._fetcher.fetch(reference, label_studio, task_id)
        assert fetched is not None  # noqa: S101 - without a known version it cannot be unchanged
        self._metrics.fetches.labels("transfer").inc()
        return fetched

    async def detect_fetched(self, reference: ImageReference, fetched: Fetched) -> ImageResult:
        """Return the detections in a fetched image and its perceptual hash, which is made of the same pixels.

        Raises:
            PrelabelError: the image cannot be decoded, or the model failed on it.
        """
        hashes: list[int] = []

        def note(decoded: DecodedImage) -> None:
            hashes.append(perceptual_hash(decoded.pixels))

        detections = await self._detect(reference, fetched, note)
        computed = bool(hashes)
        if not computed:
            await self._in_worker(lambda: note(self._decode(fetched.data)))
        return ImageResult(fetched.version.digest, detections.to_bytes(), hashes[0], computed)

    async def _detect(
        self, reference: ImageReference, fetched: Fetched, note: Callable[[DecodedImage], None] | None = None
    ) -> Detections:
        """Return the detections in an image; ``note`` gets its pixels if they had to be decoded."""
        key = self._key_of(fetched.version)

        def decode_and_run() -> Detections:
            decoded = self._decode(fetched.data)
            if note is not None:
                note(decoded)
            self._metrics.model_runs.inc()
            return self._model.run(decoded.pixels, (decoded.width, decoded.height))

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
        return detection_key(self._model.fingerprint, self._shaping, version.digest)

    async def check_label_studio(self, label_studio: LabelStudio | None) -> Finding:
        """Check whether a Label Studio can be reached and accepts the token."""
        return await self._fetcher.check(label_studio)
