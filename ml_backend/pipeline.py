"""The way that a task travels, from top to bottom.

task -> image reference -> bytes -> digest -> cache? -> pixels -> detector -> detections -> label map -> selection -> regions -> answer
"""

import asyncio
import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import lru_cache
from types import TracebackType
from typing import Self

import structlog

from ml_backend.cache import DetectionCache, MemoryCache, SingleFlight, detection_key
from ml_backend.detections import Detections
from ml_backend.detector.detector import Detector
from ml_backend.errors import DetectorError, ImageDecodeError, LabelConfigError, PrelabelError, TaskError
from ml_backend.images import ImageFetcher, decode, parse_reference
from ml_backend.labels import Policy, Prediction
from ml_backend.settings import Settings

log = structlog.get_logger(__name__)

KNOWN_CONFIGS = 256  # label configs whose policy is remembered; a config of 600 labels takes about 4 ms to parse


class Pipeline:
    """Predicts tasks; entered as an async context manager, used from one event loop."""

    def __init__(self, settings: Settings, detector: Detector) -> None:
        self.detector = detector
        self._settings = settings
        self._cache: DetectionCache = MemoryCache(settings.memory_cache_bytes)
        self._flights: SingleFlight[Detections] = SingleFlight()
        # Decoding and the model share the workers, so a decoded picture never waits: as many are in memory as there are workers.
        self._workers = ThreadPoolExecutor(settings.inference_workers, thread_name_prefix="inference")
        self._in_flight = asyncio.Semaphore(settings.pictures_in_flight)
        self.policy = lru_cache(KNOWN_CONFIGS)(self._decide_policy)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._fetcher = await stack.enter_async_context(ImageFetcher(self._settings))
            stack.callback(self._workers.shutdown, wait=False, cancel_futures=True)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def _decide_policy(self, label_config: str) -> Policy:
        return Policy.from_label_config(
            label_config,
            score_threshold=self._settings.model_score_threshold,
            class_list=self.detector.class_list,
        )

    def model_version(self, label_config: str) -> str:
        """Return ``<model name>@<fingerprint, 8 hex>.<policy digest, 6 hex>``: it changes exactly when predictions could.

        A label config that cannot be served has a version too, which changes with the config.
        """
        try:
            digest = self.policy(label_config).digest
        except LabelConfigError:
            digest = hashlib.sha256(label_config.encode()).hexdigest()[:6]
        return f"{self.detector.name}@{self.detector.fingerprint[:8]}.{digest}"

    async def predict(self, tasks: Sequence[object], label_config: str) -> list[Prediction | PrelabelError]:
        """Predict each task.

        Args:
            tasks: Label Studio tasks, as they came.
            label_config: the project's label config.

        Returns:
            By position, the task's prediction or the reason why there is none. One task's failure touches no other; a config
            that cannot be served is the reason of every task.
        """
        try:
            policy = self.policy(label_config)
        except LabelConfigError as error:
            return [error for _ in tasks]
        version = self.model_version(label_config)
        # One request gets half of the places at most, so that a single task never waits behind all of a large selection.
        share = asyncio.Semaphore(max(1, self._settings.pictures_in_flight // 2))
        return await asyncio.gather(*(self._predict_or_explain(task, policy, version, share) for task in tasks))

    async def _predict_or_explain(
        self, task: object, policy: Policy, version: str, share: asyncio.Semaphore
    ) -> Prediction | PrelabelError:
        try:
            return await self._predict_task(task, policy, version, share)
        except PrelabelError as error:
            return error
        except Exception:
            log.exception("task failed unexpectedly")
            return PrelabelError("an error inside Prelabel; its log has the details")

    async def _predict_task(self, task: object, policy: Policy, version: str, share: asyncio.Semaphore) -> Prediction:
        values = _image_values(task, policy.data_keys)
        detections = {}
        for key, value in values.items():
            async with share, self._in_flight:
                detections[key] = await self.detections(value)
        return policy.predict(task_id(task), detections, version)

    async def detections(self, value: object) -> Detections:
        """Return everything that the detector finds in the picture that ``value``, from a task's data, names.

        Raises:
            PrelabelError: of the stage that failed.
        """
        reference = parse_reference(value, label_studio_url=self._settings.label_studio_url)
        image = await self._fetcher.fetch(reference)
        key = detection_key(self.detector.fingerprint, image)
        try:
            return await self._flights.run(key, lambda: self._recall_or_compute(key, image))
        except (ImageDecodeError, DetectorError) as error:
            # Those know bytes and pixels only; whoever has to mend it needs to know which picture.
            raise type(error)(f"{reference}: {error}") from error

    async def _recall_or_compute(self, key: str, image: bytes) -> Detections:
        known = await self._cache.get(key)
        if known is not None:
            return known
        found = await asyncio.get_running_loop().run_in_executor(self._workers, self._decode_and_detect, image)
        await self._cache.put(key, found)
        return found

    def _decode_and_detect(self, image: bytes) -> Detections:
        return self.detector.run(decode(image, max_pixels=self._settings.image_max_pixels))


def task_id(task: object) -> object:
    """Return the id of a task, or None where it has none or is no task at all."""
    return task.get("id") if isinstance(task, dict) else None


def _image_values(task: object, data_keys: Sequence[str]) -> dict[str, object]:
    if not isinstance(task, dict):
        raise TaskError(f"the task is not an object but {type(task).__name__}")
    data = task.get("data")
    if not isinstance(data, dict):
        raise TaskError("the task has no object under 'data'")
    for key in data_keys:
        if key not in data:
            present = ", ".join(map(repr, list(data)[:10])) or "nothing"
            raise TaskError(
                f"the task's data has no {key!r}, where the label config says its image is (it has {present})"
            )
    return {key: data[key] for key in data_keys}
