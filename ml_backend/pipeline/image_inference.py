"""The way of one image, from its reference to the results of the models.

image reference -> address -> bytes -> digest -> cache? -> pixels (of the whole image, of its tiles) -> models -> results
"""

import asyncio
import contextvars
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from ml_backend.cache.cache import Cache
from ml_backend.cache.single_flight import SingleFlight
from ml_backend.classification import Classification
from ml_backend.detections import Detections
from ml_backend.errors import ImageDecodeError, ModelError
from ml_backend.images.box_colours import with_colours
from ml_backend.images.decoding.decode import DecodedImage
from ml_backend.images.decoding.pool import DecoderPool, Limits
from ml_backend.images.fetch import ImageFetcher
from ml_backend.images.fetched import Fetched
from ml_backend.images.references import CloudReference, ImageReference
from ml_backend.images.versions import ImageVersion
from ml_backend.inference.model import Model
from ml_backend.inference.models import Models
from ml_backend.label_studio.connections import LabelStudio
from ml_backend.label_studio.health import Finding
from ml_backend.metrics import Metrics
from ml_backend.model_results import TILES, ModelKind, ModelResults, tiles_of
from ml_backend.pipeline import cache_keys
from ml_backend.pipeline.cache_keys import (
    CLASSIFICATIONS,
    DETECTIONS,
    address_key,
    input_shaping,
    result_key,
    tile_shaping,
)
from ml_backend.pipeline.image_results import ImageResult, InferredImage, as_results
from ml_backend.pipeline.image_work import Cost, ImageWork
from ml_backend.pipeline.tiled_detection import TiledDetection
from ml_backend.settings import Settings

T = TypeVar("T")
Slot = Callable[[], AbstractAsyncContextManager[object]]


@dataclass(frozen=True)
class _Cached:
    """A model whose results are cached, with all that its image's pixels are needed for."""

    model: Model[Any]
    namespace: str
    shaping: str
    decode: Callable[[bytes], Any]
    finish: Callable[[Any, DecodedImage], Any]


class ImageInference:
    """Runs the models on images, each on each image once. An async context manager, to be used from one event loop."""

    def __init__(self, settings: Settings, models: Models, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        side = settings.model_input_max_side
        # In the order in which they run: the size of an image, which decides on its tiles, is known from its detections.
        self._models: dict[ModelKind, _Cached] = {}
        if models.detector is not None:
            self._models["detector"] = _Cached(
                models.detector, DETECTIONS, input_shaping(side), Detections.from_bytes, with_colours
            )
            for most, kind in TILES.items():
                self._models[kind] = _Cached(
                    models.detector, cache_keys.TILES, tile_shaping(side, most), Detections.from_bytes, with_colours
                )
            self._tiled = TiledDetection(
                models.detector,
                side,
                settings.inference_workers,
                self._in_worker,
                metrics,
            )
        if models.classifier is not None:
            self._models["classifier"] = _Cached(
                models.classifier,
                CLASSIFICATIONS,
                input_shaping(side),
                Classification.from_bytes,
                lambda found, _: found,
            )
        self.cache = Cache.from_settings(settings, metrics)
        self._by_address: SingleFlight[InferredImage] = SingleFlight(lambda: metrics.stage("queue_shared"))
        self._waits = metrics.single_flight_waits.labels("process")
        self._by_content: SingleFlight[Any] = SingleFlight(self._waiting_for_content)
        # Decoding and the models share the workers, so a decoded image never waits for a model.
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

    async def infer(
        self,
        reference: ImageReference,
        needs: Collection[ModelKind],
        label_studio: LabelStudio | None = None,
        task_id: object = None,
        *,
        slot: Slot = nullcontext,
        known_digest: str | None = None,
    ) -> InferredImage:
        """Return the results of models for one image.

        Args:
            reference: the image.
            needs: the models.
            label_studio: the Label Studio of the task.
            task_id: the task's id in Label Studio.
            slot: a context that is entered before anything is fetched. An image that is known without a request needs none.
            known_digest: SHA-256 of the image in hex, where the caller knows that it has not changed.

        Raises:
            PrelabelError: the image cannot be fetched or decoded, or a model failed on it.
        """
        address = self.address(reference, label_studio)
        with self._metrics.stage("cache"):
            known = await self._recall(address, needs, known_digest)
        certain = known_digest is not None or (label_studio is not None and label_studio.shared_across_projects)
        if known is not None and known.version.final and certain:
            self._metrics.fetches.labels("remembered").inc()
            return known
        waiting = self._metrics.stage("queue_request").begin()
        async with slot():
            waiting.end()
            if address is None:
                return await self._fetch_and_infer(reference, needs, address, label_studio, task_id, known)
            # Only requests for the same address with the same token share a fetch: a signature is a permission too, and Label
            # Studio resolves cloud storage by the task.
            owner = (id(label_studio.headers), label_studio.url) if label_studio else None
            request = repr(
                (owner, task_id if isinstance(reference, CloudReference) else None, reference, sorted(needs))
            )
            return await self._by_address.run(
                request, lambda: self._fetch_and_infer(reference, needs, address, label_studio, task_id, known)
            )

    async def known(self, digest: str, needs: Collection[ModelKind]) -> ModelResults | None:
        """Return the results of models for an image by its content; None where the cache does not have them all.

        Args:
            digest: SHA-256 of the image file, in hex.
            needs: the models.
        """
        found = await self._recall(None, needs, digest)
        return found.results if found else None

    async def _recall(
        self, address: str | None, needs: Collection[ModelKind], known_digest: str | None
    ) -> InferredImage | None:
        version = None
        if known_digest is not None:
            version = ImageVersion(known_digest, final=True)
        elif address is not None and self._settings.remember_addresses:
            version = await self.cache.get(address_key(address), ImageVersion.from_bytes)
        if version is None:
            return None
        results: dict[ModelKind, Any] = {}
        for kind in self._in_order(needs):
            found = self._without_tiles(kind, _size_of(results))
            if found is None:
                found = await self.cache.get(self._key_of(kind, version), self._models[kind].decode)
            if found is None:
                return None
            results[kind] = found
        return InferredImage(as_results(results), version, address)

    async def _fetch_and_infer(
        self,
        reference: ImageReference,
        needs: Collection[ModelKind],
        address: str | None,
        label_studio: LabelStudio | None,
        task_id: object,
        known: InferredImage | None,
    ) -> InferredImage:
        waiting = self._metrics.stage("queue_images").begin()
        async with self._in_flight:
            waiting.end()
            with self._metrics.images_in_flight.track_inprogress():
                with self._metrics.stage("fetch", reference):
                    fetched = await self._fetcher.fetch(
                        reference, label_studio, task_id, unless=known.version if known else None
                    )
                if fetched is None:
                    assert known is not None  # noqa: S101 - only a known version can be unchanged
                    self._metrics.fetches.labels("unchanged").inc()
                    return known
                self._metrics.fetches.labels("transfer").inc()
                results = await self._infer(reference, fetched, needs, self._work(fetched))
        if address is not None and fetched.version.can_be_asked_for and self._settings.remember_addresses:
            with self._metrics.stage("cache"):
                await self.cache.put({address_key(address): fetched.version.to_bytes()})
        return InferredImage(as_results(results), fetched.version, address)

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

    async def pixels(
        self, reference: ImageReference, label_studio: LabelStudio | None, task_id: object, max_side: int
    ) -> NDArray[np.uint8]:
        """Fetch and decode an image for people to look at: no model runs, and nothing is kept.

        Args:
            reference: the image.
            label_studio: the Label Studio of the task.
            task_id: the task's id in Label Studio.
            max_side: most pixels of the longer side.

        Returns:
            uint8 [height, width, 3], RGB, in the displayed frame.

        Raises:
            PrelabelError: it cannot be fetched or decoded.
        """
        async with self._in_flight:
            fetched = await self.fetch(reference, label_studio, task_id)
            try:
                return (await self._in_worker(lambda: self._decode(fetched.data, max_side))).pixels
            except ImageDecodeError as error:
                raise fetched.failure(reference, error) from error

    async def infer_fetched(
        self, reference: ImageReference, fetched: Fetched, needs: Collection[ModelKind]
    ) -> ImageResult:
        """Return the results of models for a fetched image, and its perceptual hash, which is made of the same pixels.

        Raises:
            PrelabelError: the image cannot be decoded, or a model failed on it.
        """
        # Hashed where it is decoded: between the end of a model's run and the result, the same bytes may come again, and run it again.
        image = self._work(fetched, hashed=True)
        results = await self._infer(reference, fetched, needs, image)
        if image.perceptual_hash is None:
            await self._in_worker(image.pixels)
        assert image.perceptual_hash is not None  # noqa: S101 - the pixels were decoded
        encoded = {kind: result.to_bytes() for kind, result in results.items()}
        return ImageResult(
            fetched.version.digest,
            encoded.get("detector", b""),
            image.perceptual_hash,
            computed=any(cost.runs for cost in image.costs.values()),
            classification=encoded.get("classifier", b""),
            tiles={kind: encoded[kind] for kind in tiles_of(encoded)},
            costs=image.costs,
        )

    async def _infer(
        self, reference: ImageReference, fetched: Fetched, needs: Collection[ModelKind], image: ImageWork
    ) -> dict[ModelKind, Any]:
        """Return the results of models for an image, which is decoded once for all of them, and once more for tiles."""
        results: dict[ModelKind, Any] = {}
        try:
            for kind in self._in_order(needs):
                image.size = image.size or _size_of(results)
                results[kind] = await self._run(kind, fetched.version, image)
        except (ImageDecodeError, ModelError) as error:
            raise fetched.failure(reference, error) from error
        return results

    async def _run(self, kind: ModelKind, version: ImageVersion, image: ImageWork) -> Any:
        cached = self._models[kind]
        key = self._key_of(kind, version)
        most = tiles_of([kind]).get(kind)
        none = self._without_tiles(kind, image.size)
        if none is not None:
            return none

        def decode_and_run() -> Any:
            started = time.perf_counter()
            shown = image.pixels()
            self._metrics.model_runs.labels(kind).inc()
            with self._metrics.stage("inference"):
                found = cached.finish(cached.model.run(shown.pixels, (shown.width, shown.height)), shown)
            image.spent(kind, Cost(1, time.perf_counter() - started))
            return found

        async def compute() -> Any:
            return await self.cache.get_or_compute(
                key,
                lambda: self._in_worker(decode_and_run) if most is None else self._tiled.detect(most, image),
                encode=lambda each: each.to_bytes(),
                decode=cached.decode,
            )

        return await self._by_content.run(key, compute)

    def _without_tiles(self, kind: ModelKind, size: tuple[int, int] | None) -> Detections | None:
        """Return the detections in the tiles of an image that is known to be too small for tiles: none. Else return None."""
        most = tiles_of([kind]).get(kind)
        return None if most is None or size is None else self._tiled.known(most, size)

    def _in_order(self, kinds: Collection[ModelKind]) -> list[ModelKind]:
        return [kind for kind in self._models if kind in kinds]

    def _work(self, fetched: Fetched, *, hashed: bool = False) -> ImageWork:
        return ImageWork(fetched.data, self._decode, self._settings.model_input_max_side, hashed=hashed)

    def _decode(self, data: bytes, max_side: int) -> DecodedImage:
        with self._metrics.stage("decode"):
            return self._decoders.decode(data, max_side)

    async def _in_worker(self, work: Callable[[], T]) -> T:
        waiting = self._metrics.stage("queue_worker").begin()

        def begin() -> T:
            waiting.end()
            return work()

        within = contextvars.copy_context()  # has the trace of the request
        return await asyncio.get_running_loop().run_in_executor(self._workers, within.run, begin)

    @contextmanager
    def _waiting_for_content(self) -> Iterator[None]:
        self._waits.inc()
        with self._metrics.stage("queue_shared"):
            yield

    def _key_of(self, kind: ModelKind, version: ImageVersion) -> str:
        cached = self._models[kind]
        return result_key(cached.namespace, cached.model.fingerprint, cached.shaping, version.digest)

    async def check_label_studio(self, label_studio: LabelStudio | None) -> Finding:
        """Check whether a Label Studio can be reached and accepts the token."""
        return await self._fetcher.check(label_studio)


def _size_of(results: dict[ModelKind, Any]) -> tuple[int, int] | None:
    """Return width and height of the displayed image in pixels; None where there is no result yet."""
    return next(((each.width, each.height) for each in results.values()), None)
