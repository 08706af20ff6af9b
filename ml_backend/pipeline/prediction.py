"""The way of a task, from its image references to its prediction.

task -> image reference -> (image_inference.py) -> results -> label map -> selection -> regions -> answer
"""

import asyncio
import hashlib
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np
import structlog
from numpy.typing import NDArray

from ml_backend.cache.cache import TierReport
from ml_backend.errors import DeadlineError, LabelConfigError, PrelabelError, TaskError
from ml_backend.images.fetched import Fetched
from ml_backend.images.references import parse_reference
from ml_backend.inference.models import Models
from ml_backend.label_studio.connections import LabelStudios
from ml_backend.label_studio.controls.control import ImageField
from ml_backend.label_studio.health import Finding
from ml_backend.label_studio.interactive import DrawnRegion, drawn_regions, newest_region, read_drawn_region
from ml_backend.label_studio.regions import Prediction
from ml_backend.label_studio.tasks import data_of, images_of, task_id
from ml_backend.metrics import Metrics
from ml_backend.model_results import ModelKind, ModelResults
from ml_backend.pipeline.background import BackgroundWork, Batch
from ml_backend.pipeline.cache_keys import RESULTS
from ml_backend.pipeline.holdout import in_holdout
from ml_backend.pipeline.image_inference import ImageInference, Slot
from ml_backend.pipeline.image_results import InferredImage
from ml_backend.pipeline.limits import ImageLimits
from ml_backend.pipeline.postprocessors import OverridesProvider, PostprocessorCache, no_overrides
from ml_backend.postprocessing.explanation import Explanation
from ml_backend.postprocessing.postprocessor import Postprocessor
from ml_backend.settings import Settings

log = structlog.get_logger(__name__)

Answer = Prediction | PrelabelError


@dataclass(frozen=True, slots=True)
class _TaskResult:
    """The result of one task.

    Attributes:
        answer: the prediction, converted, or the error.
        digests: SHA-256 of each of its images, in hex, by :func:`_image_key`.
    """

    answer: Any
    digests: dict[str, str]


@dataclass(slots=True)
class _Request:
    """The state that the tasks of one request share.

    Attributes:
        postprocessor: that of the label config.
        version: the model version of the predictions.
        project: the project, which decides which Label Studio has the images.
        image_slots: the limit on images of this request.
        convert: applied to each prediction.
        regions: the regions that an annotator just drew in the task; none outside interactive mode.
        drawn: the newest rectangle among them, or None.
        overdue: whether the request was answered at its deadline; the work goes on.
        postprocessing: held while the regions of one task are made.
    """

    postprocessor: Postprocessor
    version: str
    project: str | None
    image_slots: asyncio.Semaphore
    convert: Callable[[Prediction], Any]
    regions: Sequence[object] = ()
    drawn: DrawnRegion | None = None
    overdue: bool = False
    postprocessing: asyncio.Lock = field(default_factory=asyncio.Lock)


def _unchanged(prediction: Prediction) -> Any:
    return prediction


class Pipeline:
    """Predicts tasks. An async context manager, to be used from one event loop.

    Attributes:
        models: as given.
        postprocessors: the postprocessors of label configs.
        label_studios: the Label Studio of each project.
        metrics: the metrics of everything below.

    Args:
        settings: the settings of the service.
        models: the models.
        overrides: gives what was learned for a project; called once a request.
    """

    def __init__(
        self,
        settings: Settings,
        models: Models,
        overrides: OverridesProvider = no_overrides,
    ) -> None:
        self.models = models
        self.postprocessors = PostprocessorCache(settings, models, overrides)
        self.label_studios = LabelStudios.from_settings(settings)
        self._settings = settings
        self.metrics = Metrics()
        self._image_inference = ImageInference(settings, models, self.metrics)
        self._background: BackgroundWork[_TaskResult] = BackgroundWork()
        self._limits = ImageLimits(settings.max_concurrent_images)

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

    @property
    def kinds(self) -> Collection[ModelKind]:
        """The models that there are."""
        return self.models.by_kind

    @property
    def tiles(self) -> int:
        """The number of tiles along each side for controls that do not say, at most."""
        return self._settings.tiles

    async def _request(
        self, label_config: str, project: str | None, convert: Callable[[Prediction], Any] = _unchanged
    ) -> _Request:
        postprocessor = await self.postprocessors.load(label_config, project)
        version = self.postprocessors.version_of(postprocessor)
        return _Request(postprocessor, version, project, self._limits.of_request(), convert)

    async def predict(
        self,
        tasks: Sequence[object],
        label_config: str,
        *,
        project: str | None = None,
        deadline: float | None = None,
        context: object = None,
        convert: Callable[[Prediction], Any] = _unchanged,
    ) -> list[Any]:
        """Predict each task.

        Args:
            tasks: Label Studio tasks, as they came.
            label_config: the project's label config.
            project: the project, which decides which Label Studio has the images.
            deadline: seconds after which unfinished tasks are answered with :class:`DeadlineError`. Their work goes on, so the next
                request finds it done.
            context: ``params.context`` of a request in interactive mode. The answer is the detection that fits the drawn rectangle
                best, under the drawn label, or else that rectangle. A context without regions counts as none.
            convert: applied to each prediction as soon as it is made, such as an encoder: thousands of predictions are millions of
                objects.

        Returns:
            The prediction or the error of each task, by position. Tasks fail one by one; a label config that cannot be served fails
            them all.
        """
        try:
            with self.metrics.stage("prepare"):
                request = await self._request(label_config, project, convert)
                request.regions = drawn_regions(context)
                if not request.regions:
                    context = None  # an empty context and none have one key
                else:
                    controls = request.postprocessor.controls
                    request.drawn = await asyncio.to_thread(read_drawn_region, context, controls)
                keys = await asyncio.to_thread(lambda: [_task_key(task, request, context) for task in tasks])
        except LabelConfigError as error:
            return [error for _ in tasks]
        batch = Batch(self._background, keys, lambda position: self._predict_task(tasks[position], request))
        results = await batch.results(deadline)
        request.overdue = True
        for result in results:
            if result is not None:
                self._background.forget(result.digests)
        return [_deadline_error(deadline) if result is None else result.answer for result in results]

    async def _predict_task(self, task: object, request: _Request) -> _TaskResult:
        digests: dict[str, str] = {}
        work = self._predict_drawn(task, request) if request.regions else self._predict(task, request, digests)
        answer = await _answer_of(work)
        # Digests of overdue images are remembered until they are used; otherwise a slow host never meets the deadline.
        if request.overdue:
            self._background.remember(digests)
        return _TaskResult(answer, digests)

    async def _predict(self, task: object, request: _Request, digests: dict[str, str]) -> Any:
        """Return the converted prediction of a task, and add the digests of its images to ``digests``."""

        def slot() -> AbstractAsyncContextManager[None]:
            return self._limits.slot(request.image_slots, late=request.overdue)

        found = await self.infer(task, request.postprocessor.needs, request.project, slot=slot)
        images = [image for of_field in found.values() for image in of_field]
        for image in images:
            if image.address is not None:
                digests[_image_key(image.address, task, request.project)] = image.version.digest
        # The wait for the request's other tasks is no stage: of many known images, each would wait for all before it.
        async with request.postprocessing:
            with self.metrics.stage("postprocess"):
                await asyncio.sleep(0)  # other requests get their turn
                prediction = request.postprocessor.predict(task_id(task), _results(found), request.version)
                if any(in_holdout(image.version.digest, self._settings.holdout_fraction) for image in images):
                    prediction["result"] = []  # the score stays, or the order of the tasks would give the holdout away
                return request.convert(prediction)

    async def _predict_drawn(self, task: object, request: _Request) -> Any:
        """Answer a drawn rectangle with the detection that fits it best, or with itself. Any other region is answered with itself."""
        drawn = request.drawn
        if drawn is None:
            own = newest_region(request.regions, (task_id(task), request.version))
            return request.convert({"result": own, "score": 1.0, "model_version": request.version})
        (values,) = images_of(task, [drawn.control.image_field]).values()
        if drawn.item >= len(values):
            raise TaskError(f"the rectangle is on image {drawn.item + 1}, but the task has {len(values)}")
        found = await self._infer_image(values[drawn.item], drawn.control.models, task, request.project)
        with self.metrics.stage("postprocess"):
            boxes = found.results.boxes_in(drawn.control.models)
            return request.convert(request.postprocessor.predict_drawn(drawn, boxes, task_id(task), request.version))

    async def explain(self, task: object, label_config: str, *, project: str | None = None) -> Explanation:
        """Return the decision about every raw detection and every choice.

        Args:
            task: the Label Studio task.
            label_config: the project's label config.
            project: the project.

        Raises:
            PrelabelError: the label config cannot be served, or an image cannot be fetched or decoded.
        """
        request = await self._request(label_config, project)
        found = _results(await self.infer(task, request.postprocessor.needs, project))
        return Explanation.of(request.postprocessor, found)

    async def infer(
        self,
        task: object,
        needs: Mapping[ImageField, Collection[ModelKind]],
        project: str | None = None,
        *,
        slot: Slot = nullcontext,
    ) -> dict[ImageField, list[InferredImage]]:
        """Return the results of the models for a task's images, by the field of its data that holds them.

        Args:
            task: the Label Studio task.
            needs: the fields of a task's data that hold images, and the models whose results are needed.
            project: the project.
            slot: a context that is entered before an image is fetched.

        Raises:
            PrelabelError: the task lacks a field, or an image cannot be fetched or decoded.
        """
        return {
            field: [await self._infer_image(value, needs[field], task, project, slot) for value in values]
            for field, values in images_of(task, list(needs)).items()
        }

    async def known(self, digest: str, needs: Collection[ModelKind]) -> ModelResults | None:
        """Return the results of models for an image by its SHA-256 in hex; None where the cache does not have them all."""
        return await self._image_inference.known(digest, needs)

    async def fetch(
        self, value: object, needs: Collection[ModelKind], task: object = None, project: str | None = None
    ) -> Fetched:
        """Fetch an image for a person to look at, and run models on it, which shows that the bytes are an image.

        Args:
            value: the reference, as it stands in the data of a task.
            needs: the models.
            task: the task, by which Label Studio resolves cloud storage.
            project: the project, whose Label Studio has the image.

        Raises:
            PrelabelError: it cannot be fetched or decoded.
        """
        reference = parse_reference(value, self._settings.address_max_length)
        fetched = await self._image_inference.fetch(reference, self.label_studios.of(project), task_id(task))
        await self._image_inference.infer_fetched(reference, fetched, needs)
        return fetched

    async def _infer_image(
        self,
        value: object,
        needs: Collection[ModelKind],
        task: object,
        project: str | None,
        slot: Slot = nullcontext,
    ) -> InferredImage:
        reference = parse_reference(value, self._settings.address_max_length)
        label_studio = self.label_studios.of(project)
        address = self._image_inference.address(reference, label_studio)
        known_digest = None if address is None else self._background.recall(_image_key(address, task, project))
        return await self._image_inference.infer(
            reference, needs, label_studio, task_id(task), slot=slot, known_digest=known_digest
        )

    async def pixels(self, value: object, task: object, project: str, max_side: int) -> NDArray[np.uint8]:
        """Fetch and decode an image of a task for people to look at: no model runs, and nothing is kept.

        Args:
            value: the image value of the task.
            task: the task's id in Label Studio.
            project: the project.
            max_side: most pixels of the longer side.

        Returns:
            uint8 [height, width, 3], RGB, in the displayed frame.

        Raises:
            PrelabelError: it cannot be fetched or decoded.
        """
        reference = parse_reference(value, self._settings.address_max_length)
        return await self._image_inference.pixels(reference, self.label_studios.of(project), task, max_side)

    async def check_cache(self) -> list[TierReport]:
        """Return the state of each tier of the cache, and update its metrics."""
        return await self._image_inference.cache.measure(RESULTS)

    async def check_label_studio(self) -> Finding:
        """Check whether the configured Label Studio can be reached and accepts the token."""
        return await self._image_inference.check_label_studio(self.label_studios.configured)


async def _answer_of(work: Coroutine[Any, Any, Any]) -> Any:
    """Return the converted prediction, or the error. An unexpected error is logged with its traceback."""
    try:
        return await work
    except PrelabelError as error:
        error.__cause__ = error.__context__ = None
        # The frames of 50,000 errors would hold up the garbage collector, and with it everything.
        return error.with_traceback(None)
    except Exception:
        log.exception("task failed unexpectedly")
        return PrelabelError("an error inside Prelabel; its log has the details")


def _deadline_error(deadline: float | None) -> DeadlineError:
    return DeadlineError(
        f"not done within {deadline:g} s (PRELABEL_PREDICT_DEADLINE); the work goes on, so asking again will find it done"
    )


def _results(found: dict[ImageField, list[InferredImage]]) -> dict[ImageField, list[ModelResults]]:
    return {image_field: [image.results for image in images] for image_field, images in found.items()}


def _image_key(address: str, task: object, project: str | None) -> str:
    """Return the key of an image for one task of one project: only they may use a remembered digest without asking the host again."""
    return repr((project, task_id(task), address))


def _task_key(task: object, request: _Request, context: object) -> str:
    """Return the key of the work on one task: equal keys have equal answers."""
    data = data_of(task)
    if isinstance(data, dict):
        data = {key: _short(value) for key, value in data.items()}
    parts = (request.project, request.version, task_id(task), data, context)
    return hashlib.sha256(repr(parts).encode("utf-8", "backslashreplace")).hexdigest()


def _short(value: object) -> object:
    """Return the digest of a long text such as a ``data:`` URI, and anything else as it is."""
    if isinstance(value, str) and len(value) > 10_000:
        return hashlib.sha256(value.encode("utf-8", "backslashreplace")).digest()
    return value
