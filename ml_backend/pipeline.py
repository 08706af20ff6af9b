"""The way that a task travels, from top to bottom.

task -> image reference -> bytes -> digest -> cache? -> pixels -> detector -> detections -> label map -> selection -> regions -> answer
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Any, Self

import structlog

from ml_backend.cache import DetectionCache, MemoryCache, SingleFlight, detection_key
from ml_backend.detections import Detections
from ml_backend.detector.detector import Detector
from ml_backend.errors import (
    DeadlineError,
    DetectorError,
    ImageDecodeError,
    LabelConfigError,
    PrelabelError,
    TaskError,
)
from ml_backend.images import (
    FileReference,
    Finding,
    ImageFetcher,
    ImageReference,
    InlineReference,
    LabelStudios,
    decode,
    parse_reference,
)
from ml_backend.labels import Control, Fate, Policy, Prediction, read_gesture
from ml_backend.redaction import printable
from ml_backend.settings import Settings

log = structlog.get_logger(__name__)

KNOWN_CONFIGS = 256  # label configs whose policy is remembered; a config of 600 labels takes about 4 ms to parse

LATE_PICTURES = 100_000  # how many pictures that were done too late are remembered by address; about 300 bytes each

Answer = Prediction | PrelabelError


@dataclass(slots=True)
class _Request:
    """What the tasks of one request have in common.

    Attributes:
        policy: what the label config says.
        version: the model version that predictions carry.
        project: the project's id, which tells which Label Studio has the pictures.
        overdue: whether the request has been answered, so that nobody waits for the rest any more.
    """

    policy: Policy
    version: str
    project: str | None
    overdue: bool = False


class Pipeline:
    """Predicts tasks; entered as an async context manager, used from one event loop."""

    def __init__(self, settings: Settings, detector: Detector) -> None:
        self.detector = detector
        self.label_studios = LabelStudios(settings)
        self._decided = lru_cache(KNOWN_CONFIGS)(self._decide)
        self._settings = settings
        self._cache: DetectionCache = MemoryCache(settings.memory_cache_bytes)
        self._downloads: SingleFlight[bytes] = SingleFlight()
        self._flights: SingleFlight[Detections] = SingleFlight()
        # Decoding and the model share the workers, so a decoded picture never waits: as many are in memory as there are workers.
        self._workers = ThreadPoolExecutor(settings.inference_workers, thread_name_prefix="inference")
        self._in_flight = asyncio.Semaphore(settings.pictures_in_flight)
        self._late_jobs: set[asyncio.Task[Answer]] = set()
        self._late_pictures: OrderedDict[str, str] = OrderedDict()  # detection key by address

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._fetcher = await stack.enter_async_context(ImageFetcher(self._settings))
            stack.callback(self._workers.shutdown, wait=False, cancel_futures=True)
            stack.push_async_callback(self._cancel_late)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def policy(self, label_config: str) -> Policy:
        """Return what a label config decides.

        Raises:
            LabelConfigError: it cannot be served.
        """
        decided = self._decided(label_config)
        if isinstance(decided, str):
            raise LabelConfigError(decided)
        return decided

    def _decide(self, label_config: str) -> Policy | str:
        """Return the policy, or why there is none: a broken config is asked about as often as a good one."""
        try:
            return Policy.from_label_config(
                label_config,
                score_threshold=self._settings.model_score_threshold,
                class_list=self.detector.class_list,
            )
        except LabelConfigError as error:
            return str(error)

    def model_version(self, label_config: str) -> str:
        """Return ``<model name>@<fingerprint, 8 hex>.<policy digest, 6 hex>``: it changes exactly when predictions could.

        A label config that cannot be served has a version too, which changes with the config.
        """
        try:
            digest = self.policy(label_config).digest
        except LabelConfigError:
            digest = hashlib.sha256(label_config.encode("utf-8", "backslashreplace")).hexdigest()[:6]
        return f"{self.detector.name}@{self.detector.fingerprint[:8]}.{digest}"

    async def predict(
        self,
        tasks: Sequence[object],
        label_config: str,
        *,
        project: str | None = None,
        deadline: float | None = None,
    ) -> list[Answer]:
        """Predict each task.

        Args:
            tasks: Label Studio tasks, as they came.
            label_config: the project's label config.
            project: the project's id, which tells which Label Studio has the pictures.
            deadline: seconds after which tasks that are not done are answered with :class:`DeadlineError`; the work on them
                goes on, so that the next request finds it done.

        Returns:
            By position, the task's prediction or the reason why there is none. One task's failure touches no other; a config
            that cannot be served is the reason of every task.
        """
        try:
            policy = self.policy(label_config)
        except LabelConfigError as error:
            return [error for _ in tasks]
        # One request gets half of the places at most, so that a single task never waits behind all of a large selection.
        share = asyncio.Semaphore(max(1, self._settings.pictures_in_flight // 2))
        request = _Request(policy, self.model_version(label_config), project)
        jobs = [asyncio.create_task(_explained(self._predict_task(task, request, share))) for task in tasks]
        late: set[asyncio.Task[Answer]] = set()
        if jobs:
            _, late = await asyncio.wait(jobs, timeout=deadline)
        request.overdue = True
        for job in late:
            self._late_jobs.add(job)
            job.add_done_callback(self._late_jobs.discard)
        return [_too_late(deadline) if job in late else job.result() for job in jobs]

    async def _cancel_late(self) -> None:
        for job in self._late_jobs:
            job.cancel()
        await asyncio.gather(*self._late_jobs, return_exceptions=True)

    async def _predict_task(self, task: object, request: _Request, share: asyncio.Semaphore) -> Prediction:
        found: dict[str, list[Detections]] = {}
        for key, values in _images_of(task, request.policy.data_keys).items():
            found[key] = []
            for value in values:
                async with share, self._in_flight:
                    found[key].append(await self._detections(value, task, request))
        return request.policy.predict(task_id(task), found, request.version)

    async def snap(self, task: object, label_config: str, context: object, *, project: str | None = None) -> Answer:
        """Answer what an annotator drew in interactive mode: the detection that fits it best, under the drawn label.

        Args:
            task: the Label Studio task.
            label_config: the project's label config.
            context: the request's ``params.context``.
            project: the project's id.
        """
        return await _explained(self._snap(task, label_config, context, project))

    async def _snap(self, task: object, label_config: str, context: object, project: str | None) -> Prediction:
        request = _Request(self.policy(label_config), self.model_version(label_config), project)
        drawn = read_gesture(context, (control for control, _ in request.policy.controls))
        if drawn is None:
            return {"result": [], "score": 1.0, "model_version": request.version}
        (values,) = _images_of(task, {drawn.control.data_key: drawn.control.is_list}).values()
        if drawn.item >= len(values):
            raise TaskError(f"the rectangle is on image {drawn.item + 1}, but the task has {len(values)}")
        detections = await self._detections(values[drawn.item], task, request)
        return request.policy.snap(drawn, detections, task_id(task), request.version)

    async def explain(
        self, task: object, label_config: str, *, project: str | None = None
    ) -> list[tuple[Control, int, Detections, list[Fate]]]:
        """Return, for each control and each of the task's images under it, what becomes of every raw detection.

        Args:
            task: the Label Studio task.
            label_config: the project's label config.
            project: the project's id.

        Raises:
            PrelabelError: the config cannot be served, or an image cannot be had.
        """
        request = _Request(self.policy(label_config), self.model_version(label_config), project)
        found = {
            key: [await self._detections(value, task, request) for value in values]
            for key, values in _images_of(task, request.policy.data_keys).items()
        }
        return list(request.policy.explain(found))

    async def _detections(self, value: object, task: object, request: _Request) -> Detections:
        """Return everything that the detector finds in the picture that ``value``, from the task's data, names."""
        reference = parse_reference(value)
        address = None if isinstance(reference, InlineReference | FileReference) else repr((request.project, reference))
        # What was done too late is fetched no second time, or a slow host would be too late for ever.
        remembered = self._late_pictures.pop(address, None) if address else None
        if remembered is not None and (known := await self._cache.get(remembered)) is not None:
            return known
        image = await self._fetch(reference, address, task, request)
        key = detection_key(self.detector.fingerprint, image)
        try:
            detections = await self._flights.run(key, lambda: self._recall_or_compute(key, image))
        except (ImageDecodeError, DetectorError) as error:
            # Those know bytes and pixels only; whoever has to mend it needs to know which picture.
            raise type(error)(f"{reference}: {error}") from error
        if request.overdue and address:
            self._late_pictures[address] = key
            if len(self._late_pictures) > LATE_PICTURES:
                self._late_pictures.popitem(last=False)
        return detections

    async def _fetch(self, reference: ImageReference, address: str | None, task: object, request: _Request) -> bytes:
        home = self.label_studios.of(request.project)
        if address is None:
            return await self._fetcher.fetch(reference)
        # Shared by all who want it now: a second press of the button must not download again what the first still does.
        return await self._downloads.run(address, lambda: self._fetcher.fetch(reference, home, task_id(task)))

    async def _recall_or_compute(self, key: str, image: bytes) -> Detections:
        known = await self._cache.get(key)
        if known is not None:
            return known
        found = await asyncio.get_running_loop().run_in_executor(self._workers, self._decode_and_detect, image)
        await self._cache.put(key, found)
        return found

    def _decode_and_detect(self, image: bytes) -> Detections:
        return self.detector.run(decode(image, max_pixels=self._settings.image_max_pixels))

    async def check_label_studio(self) -> Finding:
        """Tell whether the configured Label Studio can be reached and takes the token."""
        return await self._fetcher.check(self.label_studios.configured)


async def _explained(work: Coroutine[Any, Any, Prediction]) -> Answer:
    """Return the error of ``work`` instead of raising it; what nobody thought of is logged with its trace and told without."""
    try:
        return await work
    except PrelabelError as error:
        return error
    except Exception:
        log.exception("task failed unexpectedly")
        return PrelabelError("an error inside Prelabel; its log has the details")


def _too_late(deadline: float | None) -> DeadlineError:
    return DeadlineError(
        f"not done within {deadline:g} s (PRELABEL_PREDICT_DEADLINE); the work goes on, so asking again will find it done"
    )


def task_id(task: object) -> object:
    """Return the id of a task, or None where it has none or is no task at all."""
    return task.get("id") if isinstance(task, dict) else None


def _images_of(task: object, data_keys: Mapping[str, bool]) -> dict[str, list[object]]:
    """Return what the task holds under each key, as a list also where the key holds one image."""
    if not isinstance(task, dict):
        raise TaskError(f"the task is not an object but {type(task).__name__}")
    data = task.get("data")
    if not isinstance(data, dict):
        raise TaskError("the task has no object under 'data'")
    found: dict[str, list[object]] = {}
    for key, is_list in data_keys.items():
        if key not in data:
            present = printable(", ".join(map(repr, list(data)[:10])), 200) or "nothing"
            raise TaskError(
                f"the task's data has no {key!r}, where the label config says its image is (it has {present})"
            )
        if is_list and not isinstance(data[key], list):
            raise TaskError(f"the task's data has no list under {key!r}, where the label config says its images are")
        found[key] = data[key] if is_list else [data[key]]
    return found
