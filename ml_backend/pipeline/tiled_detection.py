"""Runs the detector in the tiles of large images: each tile is work of its own, so that other images get their turn."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from ml_backend.detections import Detections
from ml_backend.images.box_colours import with_colours
from ml_backend.images.decoding.decode import DecodedImage
from ml_backend.images.tiles import SCALE, Tile, joined, no_detections, tiles_in
from ml_backend.inference.model import Model
from ml_backend.metrics import Metrics
from ml_backend.model_results import TILES, ModelKind
from ml_backend.pipeline.image_work import Cost, ImageWork
from ml_backend.pipeline.limits import TILED_AT_ONCE

InWorker = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a function in a worker."""


class TiledDetection:
    """Finds the objects in the tiles of images; used from one event loop.

    Args:
        detector: runs on each tile.
        max_side: the detector's scale: the longer side to which whole images are shrunk, in pixels; 0 for none.
        workers: how many tiles are run at once.
        in_worker: runs a function in a worker.
        metrics: count and measure the runs.
    """

    def __init__(
        self,
        detector: Model[Detections],
        max_side: int,
        workers: int,
        in_worker: InWorker,
        metrics: Metrics,
    ) -> None:
        self._detector = detector
        self._max_side = max_side
        self._in_worker = in_worker
        self._metrics = metrics
        self._counts = metrics.model_runs.labels("detector")
        self._images = asyncio.Semaphore(TILED_AT_ONCE)
        self._runs = asyncio.Semaphore(workers)

    def known(self, most: int, size: tuple[int, int]) -> Detections | None:
        """Return the detections in the tiles of an image that is too small for tiles: none. For another one, return None.

        Args:
            most: the largest number of tiles along each side.
            size: width and height of the displayed image, in pixels.
        """
        return None if tiles_in(size, most, self._max_side) else no_detections(size)

    async def detect(self, most: int, image: ImageWork) -> Detections:
        """Return the detections in the tiles of an image.

        Raises:
            ImageDecodeError: the image cannot be decoded.
            ModelError: the detector failed on a tile.
        """
        kind = TILES[most]
        waiting = self._metrics.stage("queue_images").begin()
        async with self._images:
            waiting.end()
            decode = partial(image.decoded, most * (self._max_side or SCALE))
            pixels = await self._spend(image, kind, decode, runs=0)
            size = (pixels.width, pixels.height)
            try:
                async with asyncio.TaskGroup() as group:
                    found = [
                        group.create_task(self._detect(tile, pixels, kind, image))
                        for tile in tiles_in(size, most, self._max_side)
                    ]
            except ExceptionGroup as failures:  # the first one has ended the others
                raise failures.exceptions[0] from None
        return joined([each.result() for each in found] or [no_detections(size)])

    async def _detect(self, tile: Tile, pixels: DecodedImage, kind: ModelKind, image: ImageWork) -> Detections:
        def run() -> Detections:
            self._counts.inc()
            with self._metrics.stage("inference"):
                return with_colours(tile.to_image(self._detector.run(tile.crop(pixels)), pixels), pixels)

        waiting = self._metrics.stage("queue_worker").begin()
        async with self._runs:
            waiting.end()
            found: Detections = await self._spend(image, kind, run, runs=1)
        return found

    async def _spend(self, image: ImageWork, kind: ModelKind, work: Callable[[], Any], runs: int) -> Any:
        def timed() -> tuple[Any, float]:
            started = time.perf_counter()
            return work(), time.perf_counter() - started

        result, seconds = await self._in_worker(timed)
        image.spent(kind, Cost(runs, seconds))
        return result
