"""Examines the images of one item after another, for both engines."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

import structlog
from tenacity import AsyncRetrying, retry_if_exception, retry_if_exception_type
from yarl import URL

from ml_backend.bootstrap.items import Failure, Item, Needs, Outcome
from ml_backend.errors import BootstrapError, ImageFetchError, ImageUnreachableError, PrelabelError, TokenRefusedError
from ml_backend.http.retries import pauses
from ml_backend.images.fetched import Fetched
from ml_backend.images.references import (
    CloudReference,
    HttpReference,
    ImageReference,
    LabelStudioReference,
    parse_reference,
    readable,
)
from ml_backend.inference.models import Models
from ml_backend.label_studio.connections import LabelStudio, LabelStudios
from ml_backend.label_studio.tasks import images_of, task_id, task_of_file
from ml_backend.metrics import Metrics
from ml_backend.model_results import ModelKind
from ml_backend.pipeline.image_inference import ImageInference
from ml_backend.pipeline.image_results import ImageResult
from ml_backend.redaction import printable, redact
from ml_backend.settings import Settings

log = structlog.get_logger(__name__)

Known = Callable[[str], Collection[ModelKind]]
"""Returns the models whose results the job has already, by the digest of an image."""

PAUSES = (1, 4)
"""Seconds between attempts to fetch an image."""

PAUSES_AT_HOME = (1, 2, 4, 8, 15, 30, 30, 30)
"""The same while Label Studio, which has the image, does not answer: two minutes, in which it can restart (it takes 10 to 60 s)."""


class Inference(Protocol):
    """The methods of :class:`~ml_backend.pipeline.image_inference.ImageInference` that a bulk job uses."""

    async def fetch(self, reference: ImageReference, home: LabelStudio | None, task_id: object) -> Fetched:
        """Return the bytes of an image."""

    async def infer_fetched(
        self, reference: ImageReference, fetched: Fetched, needs: Collection[ModelKind]
    ) -> ImageResult:
        """Return the results of models for an image, and its perceptual hash."""


class Worker:
    """Fetches the images of items and runs the models on them; used from one event loop.

    Args:
        inference: fetches and examines images.
        home: the configured Label Studio.
        needs: the fields of a task's data that hold its images, with the models whose results the label config needs.
        known: returns the models whose results the job has already, by the digest of an image.
    """

    def __init__(
        self,
        inference: Inference,
        home: LabelStudio | None,
        needs: Needs,
        known: Known,
    ) -> None:
        self._inference = inference
        self._home = home
        self._needs = needs
        self._known = known

    async def examine(self, item: Item) -> Outcome:
        """Examine all images of an item. Unexpected errors are logged with a traceback, and fail the item.

        Raises:
            BootstrapError: Label Studio refuses the token or does not answer, so that all other items would fail too.
        """
        images: dict[str, list[ImageResult]] = {}
        task: object = item.task
        if item.file is not None:
            task = task_of_file(item.position, item.file, list(self._needs))
        try:
            for field, values in images_of(task, list(self._needs)).items():
                images[field.key] = []
                for value in values:
                    images[field.key].append(
                        await self._examine_image(value, self._needs[field], task_id(task), item.known)
                    )
        except BootstrapError:
            raise
        except TokenRefusedError as error:
            raise BootstrapError(
                f"{error}; what is done is kept: set LABEL_STUDIO_API_KEY to a valid token, and run the same command again"
            ) from None
        except PrelabelError as error:
            return Outcome(item.position, images, Failure(printable(str(error), 1000), error.code))
        except Exception as error:  # one image must not end the job of all others
            log.exception("image failed unexpectedly", item=redact(item.name))
            reason = f"an error inside Prelabel ({type(error).__name__}); its log has the details"
            return Outcome(item.position, images, Failure(reason, PrelabelError.code))
        return Outcome(item.position, images)

    async def _examine_image(
        self, value: object, needs: Collection[ModelKind], task: object, before: Mapping[str, Collection[ModelKind]]
    ) -> ImageResult:
        """Return the results that the job does not have yet of those that are needed; none, but the digest, if it has them all."""
        reference = readable(parse_reference(value), self._home, task)
        fetch = self._fetch_from_home if self._is_at_home(reference) else self._inference.fetch
        retrying = AsyncRetrying(retry=retry_if_exception(_can_pass), **pauses(*PAUSES))
        fetched: Fetched = await retrying(fetch, reference, self._home, task)
        digest = fetched.version.digest
        missing = frozenset(needs).difference(self._known(digest), before.get(digest, ()))
        return await self._inference.infer_fetched(reference, fetched, missing) if missing else ImageResult(digest)

    async def _fetch_from_home(self, reference: ImageReference, home: LabelStudio | None, task: object) -> Fetched:
        retrying = AsyncRetrying(retry=retry_if_exception_type(ImageUnreachableError), **pauses(*PAUSES_AT_HOME))
        try:
            return await retrying(self._inference.fetch, reference, home, task)
        except ImageUnreachableError as error:
            reason = f"Label Studio does not answer: {error}; what is done is kept: run the same command again"
            raise BootstrapError(reason) from None

    def _is_at_home(self, reference: ImageReference) -> bool:
        match reference:
            case LabelStudioReference() | CloudReference():
                return True
            case HttpReference(url):
                return self._home is not None and self._home.has_host_of(URL(url))
        return False


@asynccontextmanager
async def open_worker(settings: Settings, models: Models, needs: Needs, known: Known) -> AsyncIterator[Worker]:
    """Open a worker with the cache and the Label Studio of the settings."""
    async with ImageInference(settings, models, Metrics()) as inference:
        yield Worker(inference, LabelStudios.from_settings(settings).configured, needs, known)


def _can_pass(error: BaseException) -> bool:
    return isinstance(error, ImageFetchError) and error.retryable
