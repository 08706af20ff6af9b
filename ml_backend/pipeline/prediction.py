"""The way that a task travels, from top to bottom.

task -> image reference -> (pictures.py) -> detections -> label map -> selection -> regions -> answer
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import structlog

from ml_backend.cache.cache import TierReport
from ml_backend.detections import Detections
from ml_backend.errors import DeadlineError, LabelConfigError, PrelabelError, TaskError
from ml_backend.images.references import parse_reference
from ml_backend.inference.detector import Detector
from ml_backend.label_studio.connections import LabelStudios
from ml_backend.label_studio.controls import Control, ImageField
from ml_backend.label_studio.health import Finding
from ml_backend.label_studio.interactive import DrawnRegion, drawn_regions, newest_region, read_drawn_region
from ml_backend.label_studio.regions import Prediction
from ml_backend.label_studio.tasks import data_of, images_of, task_id
from ml_backend.metrics import Metrics
from ml_backend.pipeline.background import BackgroundWork, Batch
from ml_backend.pipeline.cache_keys import DETECTIONS
from ml_backend.pipeline.holdout import in_holdout
from ml_backend.pipeline.image_inference import ImageDetections, ImageInference, Place
from ml_backend.pipeline.postprocessors import OverridesProvider, PostprocessorCache, no_overrides
from ml_backend.postprocessing.postprocessor import Postprocessor
from ml_backend.postprocessing.selection import FilterDecision
from ml_backend.settings import Settings

log = structlog.get_logger(__name__)

Answer = Prediction | PrelabelError


@dataclass(frozen=True, slots=True)
class _Done:
    """What came of one task.

    Attributes:
        answer: its prediction, converted, or the reason why there is none.
        digests: of the pictures that it was made of, by :func:`_where`.
    """

    answer: Any
    digests: dict[str, str]


@dataclass(slots=True)
class _Request:
    """What the tasks of one request have in common.

    Attributes:
        postprocessor: what the label config says.
        version: the model version that predictions carry.
        project: the project, which tells which Label Studio has the pictures.
        share: the places for its pictures: half of all at most, so that a single task never waits behind all of a large selection.
        regions: the regions that an annotator draws in the task at this moment.
        drawn: the newest rectangle among them, if there is one.
        overdue: whether the request has been answered, so that nobody waits for the rest any more.
        selecting: is held while one task's regions are made.
    """

    postprocessor: Postprocessor
    version: str
    project: str | None
    share: asyncio.Semaphore
    regions: Sequence[object] = ()
    drawn: DrawnRegion | None = None
    overdue: bool = False
    selecting: asyncio.Lock = field(default_factory=asyncio.Lock)


def _as_it_is(prediction: Prediction) -> Any:
    return prediction


class Pipeline:
    """Predicts tasks; entered as an async context manager, used from one event loop.

    Attributes:
        postprocessors: what label configs decide.

    Args:
        settings: as for the service.
        detector: what finds.
        overrides: tells what corrections have taught about a project; called for each request.
    """

    def __init__(
        self,
        settings: Settings,
        detector: Detector,
        overrides: OverridesProvider = no_overrides,
    ) -> None:
        self.detector = detector
        self.postprocessors = PostprocessorCache(settings, detector, overrides)
        self.label_studios = LabelStudios.from_settings(settings)
        self._settings = settings
        self.metrics = Metrics()
        self._image_inference = ImageInference(settings, detector, self.metrics)
        self._background: BackgroundWork[_Done] = BackgroundWork(places=max(1, settings.max_concurrent_images // 4))

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._image_inference)
            stack.push_async_callback(self._background.cancel)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _request(self, label_config: str, project: str | None) -> _Request:
        postprocessor = await self.postprocessors.decide(label_config, project)
        share = asyncio.Semaphore(max(1, self._settings.max_concurrent_images // 2))
        return _Request(postprocessor, self.postprocessors.version_of(postprocessor), project, share)

    async def predict(
        self,
        tasks: Sequence[object],
        label_config: str,
        *,
        project: str | None = None,
        deadline: float | None = None,
        context: object = None,
        convert: Callable[[Prediction], Any] = _as_it_is,
    ) -> list[Any]:
        """Predict each task.

        Args:
            tasks: Label Studio tasks, as they came.
            label_config: the project's label config.
            project: the project, which tells which Label Studio has the pictures.
            deadline: seconds after which tasks that are not done are answered with :class:`DeadlineError`; the work on them
                goes on, so that the next request finds it done.
            context: ``params.context`` of a request in interactive mode: the answer is the detection that fits best to the rectangle
                that the annotator drew, under the drawn label, or else that rectangle. Without regions it counts as none.
            convert: is applied to each prediction as soon as it is made, such as an encoder: thousands of predictions are millions of
                objects.

        Returns:
            By position, the task's prediction or the reason why there is none. One task's failure touches no other; a config
            that cannot be served is the reason of every task.
        """
        try:
            request = await self._request(label_config, project)
        except LabelConfigError as error:
            return [error for _ in tasks]
        request.regions = drawn_regions(context)
        if not request.regions:
            context = None  # an empty one and none are the same work
        else:
            controls = [control for control, _ in request.postprocessor.controls]
            request.drawn = await asyncio.to_thread(read_drawn_region, context, controls)
        names = await asyncio.to_thread(lambda: [_name_of_job(task, request, context) for task in tasks])
        batch = Batch(self._background, names, lambda place: self._predict_task(tasks[place], request, convert))
        results = await batch.results(deadline)
        request.overdue = True
        for done in results:
            if done is not None:
                self._background.forget(done.digests)
        return [_too_late(deadline) if done is None else done.answer for done in results]

    async def _predict_task(self, task: object, request: _Request, convert: Callable[[Prediction], Any]) -> _Done:
        digests: dict[str, str] = {}
        work = self._predict_drawn(task, request) if request.regions else self._predict(task, request, digests)
        answer = await _explained(work, convert)
        # A slow host would be too late for ever if what was done too late had to be fetched again; once used, it is forgotten.
        if request.overdue:
            self._background.remember(digests)
        return _Done(answer, digests)

    async def _predict(self, task: object, request: _Request, digests: dict[str, str]) -> Prediction:
        """Predict a task, and tell the digests of its pictures."""

        @asynccontextmanager
        async def place() -> AsyncIterator[None]:
            async with request.share, self._background.place(late=request.overdue):
                yield

        seen = await self.look(task, request.postprocessor.image_fields, request.project, place=place)
        images = [each for of_source in seen.values() for each in of_source]
        for each in images:
            if each.address is not None:
                digests[_where(each.address, task, request.project)] = each.version.digest
        async with request.selecting:
            # One task in a turn of the event loop: a thousand cached ones at once would hold /health up for half a second.
            await asyncio.sleep(0)
            prediction = request.postprocessor.predict(task_id(task), _detections(seen), request.version)
        if any(in_holdout(each.version.digest, self._settings.holdout_fraction) for each in images):
            prediction["result"] = []  # the score stays, so that the order of the tasks says nothing
        return prediction

    async def _predict_drawn(self, task: object, request: _Request) -> Prediction:
        """Answer a drawn rectangle with the detection that fits best, or with itself; any other region with itself."""
        drawn = request.drawn
        if drawn is None:
            own = newest_region(request.regions, (task_id(task), request.version))
            return {"result": own, "score": 1.0, "model_version": request.version}
        (values,) = images_of(task, [drawn.control.image_field]).values()
        if drawn.item >= len(values):
            raise TaskError(f"the rectangle is on image {drawn.item + 1}, but the task has {len(values)}")
        seen = await self._look(values[drawn.item], task, request.project)
        return request.postprocessor.predict_drawn(drawn, seen.detections, task_id(task), request.version)

    async def explain(
        self, task: object, label_config: str, *, project: str | None = None
    ) -> list[tuple[Control, int, Detections, list[FilterDecision]]]:
        """Return, for each control and each of the task's images under it, what becomes of every raw detection.

        Args:
            task: the Label Studio task.
            label_config: the project's label config.
            project: the project.

        Raises:
            PrelabelError: the config cannot be served, or an image cannot be had.
        """
        request = await self._request(label_config, project)
        seen = await self.look(task, request.postprocessor.image_fields, project)
        return list(request.postprocessor.explain(_detections(seen)))

    async def look(
        self,
        task: object,
        image_fields: Sequence[ImageField],
        project: str | None = None,
        *,
        place: Place = nullcontext,
    ) -> dict[ImageField, list[ImageDetections]]:
        """Return everything that the detector finds in a task's pictures, by where the task has them.

        Args:
            task: the Label Studio task.
            image_fields: where tasks have pictures.
            project: the project.
            place: is entered before a picture is fetched.

        Raises:
            PrelabelError: the task does not hold them, or one cannot be had or read.
        """
        return {
            image_field: [await self._look(value, task, project, place) for value in values]
            for image_field, values in images_of(task, image_fields).items()
        }

    async def _look(
        self, value: object, task: object, project: str | None, place: Place = nullcontext
    ) -> ImageDetections:
        reference = parse_reference(value, self._settings.address_max_length)
        home = self.label_studios.of(project)
        address = self._image_inference.address(reference, home)
        trusted = None if address is None else self._background.recall(_where(address, task, project))
        return await self._image_inference.look(reference, home, task_id(task), place=place, trusted=trusted)

    async def check_cache(self) -> list[TierReport]:
        """Return how each tier of the cache does, and bring its metrics up to date."""
        return await self._image_inference.cache.measure(DETECTIONS)

    async def check_label_studio(self) -> Finding:
        """Tell whether the configured Label Studio can be reached and takes the token."""
        return await self._image_inference.check_label_studio(self.label_studios.configured)


async def _explained(work: Coroutine[Any, Any, Prediction], convert: Callable[[Prediction], Any]) -> Any:
    """Return the converted prediction, or the error where there is one. An unexpected error is logged with its trace."""
    try:
        return convert(await work)
    except PrelabelError as error:
        error.__cause__ = error.__context__ = None
        return error.with_traceback(
            None
        )  # frames of 50,000 errors would hold up the garbage collector, and all else with it
    except Exception:
        log.exception("task failed unexpectedly")
        return PrelabelError("an error inside Prelabel; its log has the details")


def _too_late(deadline: float | None) -> DeadlineError:
    return DeadlineError(
        f"not done within {deadline:g} s (PRELABEL_PREDICT_DEADLINE); the work goes on, so asking again will find it done"
    )


def _detections(seen: dict[ImageField, list[ImageDetections]]) -> dict[ImageField, list[Detections]]:
    return {image_field: [each.detections for each in of_source] for image_field, of_source in seen.items()}


def _where(address: str, task: object, project: str | None) -> str:
    """Return what names a picture to those who may see it without asking: the same task of the same project."""
    return repr((project, task_id(task), address))


def _name_of_job(task: object, request: _Request, context: object) -> str:
    """Return a name for the work on one task: equal names have equal answers."""
    data = data_of(task)
    if isinstance(data, dict):
        data = {key: _brief(value) for key, value in data.items()}
    parts = (request.project, request.version, task_id(task), data, context)
    return hashlib.sha256(repr(parts).encode("utf-8", "backslashreplace")).hexdigest()


def _brief(value: object) -> object:
    """Return a digest in place of a long text such as a data: URI, which takes long to quote."""
    if isinstance(value, str) and len(value) > 10_000:
        return hashlib.sha256(value.encode("utf-8", "backslashreplace")).digest()
    return value
