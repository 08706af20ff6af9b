"""The way that a task travels, from top to bottom.

task -> image reference -> (pictures.py) -> detections -> label map -> selection -> regions -> answer
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import structlog

from ml_backend.cache import TierReport, input_shaping
from ml_backend.detections import Detections
from ml_backend.detector.detector import Detector
from ml_backend.errors import DeadlineError, LabelConfigError, PrelabelError, TaskError
from ml_backend.images import Finding, LabelStudios, parse_reference
from ml_backend.labels import Control, Fate, Policy, Prediction, Source, read_gesture
from ml_backend.late import LateWork
from ml_backend.metrics import Metrics
from ml_backend.pictures import Pictures, Place, Seen
from ml_backend.settings import Settings
from ml_backend.tasks import data_of, images_of, task_id

log = structlog.get_logger(__name__)

KNOWN_CONFIGS = (
    256  # label configs whose policy is remembered; a config of 600 labels takes about 10 ms to read and map
)

Answer = Prediction | PrelabelError


@dataclass(slots=True)
class _Request:
    """What the tasks of one request have in common.

    Attributes:
        policy: what the label config says.
        version: the model version that predictions carry.
        project: the project, which tells which Label Studio has the pictures.
        overdue: whether the request has been answered, so that nobody waits for the rest any more.
        selecting: is held while one task's regions are made.
    """

    policy: Policy
    version: str
    project: str | None
    overdue: bool = False
    selecting: asyncio.Lock = field(default_factory=asyncio.Lock)


def model_version(detector: Detector, settings: Settings, policy: str) -> str:
    """Return ``<model name>@<fingerprint, 8 hex>.<policy digest, 6 hex>``: it changes exactly when predictions could.

    The last part covers the policy and how the detector's input is made.

    Args:
        detector: what finds.
        settings: what says how its input is made.
        policy: digest of the policy.
    """
    decisive = f"{policy} {input_shaping(settings.model_input_max_side)}"
    digest = hashlib.sha256(decisive.encode("utf-8", "backslashreplace")).hexdigest()[:6]
    return f"{detector.name}@{detector.fingerprint[:8]}.{digest}"


class Pipeline:
    """Predicts tasks; entered as an async context manager, used from one event loop."""

    def __init__(self, settings: Settings, detector: Detector) -> None:
        self.detector = detector
        self.label_studios = LabelStudios(settings)
        self._settings = settings
        self._policies: OrderedDict[bytes, Policy | str] = OrderedDict()
        self.metrics = Metrics()
        self._pictures = Pictures(settings, detector, self.metrics)
        self._late: LateWork[Answer] = LateWork(places=max(1, settings.pictures_in_flight // 4))

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._pictures)
            stack.push_async_callback(self._late.cancel)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def policy(self, label_config: str) -> Policy:
        """Return what a label config decides; a broken one is remembered as well, since it is asked about as often.

        Raises:
            LabelConfigError: it cannot be served.
        """
        key = hashlib.sha256(label_config.encode("utf-8", "backslashreplace")).digest()
        if key not in self._policies:
            self._policies[key] = self._decide(label_config)
            if len(self._policies) > KNOWN_CONFIGS:
                self._policies.popitem(last=False)
        self._policies.move_to_end(key)
        decided = self._policies[key]
        if isinstance(decided, str):
            raise LabelConfigError(decided)
        return decided

    def _decide(self, label_config: str) -> Policy | str:
        try:
            return Policy.from_label_config(
                label_config,
                score_threshold=self._settings.model_score_threshold,
                class_list=self.detector.class_list,
            )
        except LabelConfigError as error:
            return str(error)

    def model_version(self, label_config: str) -> str:
        """Return the :func:`model_version` under a label config. One that cannot be served has a version too, which changes with it."""
        try:
            policy = self.policy(label_config).digest
        except LabelConfigError:
            policy = label_config
        return model_version(self.detector, self._settings, policy)

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
            project: the project, which tells which Label Studio has the pictures.
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
        request = _Request(policy, self.model_version(label_config), project)
        # One request gets half of the places at most, so that a single task never waits behind all of a large selection.
        share = asyncio.Semaphore(max(1, self._settings.pictures_in_flight // 2))
        names = [_name_of_job(task, request) for task in tasks]
        # What an earlier request still has going on is waited for, not begun once more.
        joined = [self._late.job(name) for name in names]
        jobs = [
            earlier or asyncio.create_task(_explained(self._predict_task(task, request, share)))
            for earlier, task in zip(joined, tasks, strict=True)
        ]
        late: set[asyncio.Task[Answer]] = set()
        try:
            if jobs:
                _, late = await asyncio.wait(jobs, timeout=deadline)
        except asyncio.CancelledError:
            for job in set(jobs).difference(joined):  # others may be waiting for those
                job.cancel()
            raise
        request.overdue = True
        for name, job in zip(names, jobs, strict=True):
            if job in late:
                self._late.keep(name, job)
        return [_too_late(deadline) if job in late else job.result() for job in jobs]

    async def _predict_task(self, task: object, request: _Request, share: asyncio.Semaphore) -> Prediction:
        @asynccontextmanager
        async def place() -> AsyncIterator[None]:
            async with share, self._late.place(late=request.overdue):
                yield

        found: dict[Source, list[Detections]] = {}
        digests: dict[str, str] = {}
        for source, values in images_of(task, request.policy.sources).items():
            found[source] = []
            for value in values:
                seen = await self._look(value, task, request, place)
                found[source].append(seen.detections)
                if seen.address is not None:
                    digests[_where(seen.address, task, request)] = seen.version.digest
        # A slow host would be too late for ever if what was done too late had to be fetched again; once used, it is forgotten.
        if request.overdue:
            self._late.remember(digests)
        else:
            self._late.forget(digests)
        async with request.selecting:
            # One task in a turn of the event loop: a thousand cached ones at once would hold /health up for half a second.
            await asyncio.sleep(0)
            return request.policy.predict(task_id(task), found, request.version)

    async def snap(self, task: object, label_config: str, context: object, *, project: str | None = None) -> Answer:
        """Answer what an annotator drew in interactive mode: the detection that fits it best, under the drawn label.

        Args:
            task: the Label Studio task.
            label_config: the project's label config.
            context: the request's ``params.context``.
            project: the project.
        """
        return await _explained(self._snap(task, label_config, context, project))

    async def _snap(self, task: object, label_config: str, context: object, project: str | None) -> Prediction:
        request = _Request(self.policy(label_config), self.model_version(label_config), project)
        drawn = read_gesture(context, (control for control, _ in request.policy.controls))
        if drawn is None:
            return {"result": [], "score": 1.0, "model_version": request.version}
        (values,) = images_of(task, [drawn.control.source]).values()
        if drawn.item >= len(values):
            raise TaskError(f"the rectangle is on image {drawn.item + 1}, but the task has {len(values)}")
        seen = await self._look(values[drawn.item], task, request)
        return request.policy.snap(drawn, seen.detections, task_id(task), request.version)

    async def explain(
        self, task: object, label_config: str, *, project: str | None = None
    ) -> list[tuple[Control, int, Detections, list[Fate]]]:
        """Return, for each control and each of the task's images under it, what becomes of every raw detection.

        Args:
            task: the Label Studio task.
            label_config: the project's label config.
            project: the project.

        Raises:
            PrelabelError: the config cannot be served, or an image cannot be had.
        """
        request = _Request(self.policy(label_config), self.model_version(label_config), project)
        found = {
            source: [(await self._look(value, task, request)).detections for value in values]
            for source, values in images_of(task, request.policy.sources).items()
        }
        return list(request.policy.explain(found))

    async def _look(self, value: object, task: object, request: _Request, place: Place = nullcontext) -> Seen:
        reference = parse_reference(value)
        home = self.label_studios.of(request.project)
        address = self._pictures.address(reference, home)
        trusted = None if address is None else self._late.recall(_where(address, task, request))
        return await self._pictures.look(reference, home, task_id(task), place=place, trusted=trusted)

    async def check_cache(self) -> list[TierReport]:
        """Return how each tier of the cache does, and bring its metrics up to date."""
        return await self._pictures.cache.measure()

    async def check_label_studio(self) -> Finding:
        """Tell whether the configured Label Studio can be reached and takes the token."""
        return await self._pictures.check_label_studio(self.label_studios.configured)


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


def _where(address: str, task: object, request: _Request) -> str:
    """Return what names a picture to those who may see it without asking: the same task of the same project."""
    return repr((request.project, task_id(task), address))


def _name_of_job(task: object, request: _Request) -> str:
    """Return what tells the work on one task from the work on others: equal names have equal answers."""
    parts = (request.project, request.version, task_id(task), data_of(task))
    return hashlib.sha256(repr(parts).encode("utf-8", "backslashreplace")).hexdigest()
