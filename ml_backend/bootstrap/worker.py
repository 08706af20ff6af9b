"""Looks at the pictures of one item after another, whichever engine asks."""

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import structlog
from yarl import URL

from ml_backend.bootstrap.items import Failure, ImageResult, Outcome, WorkItem
from ml_backend.errors import BootstrapError, ImageFetchError, ImageUnreachableError, PrelabelError, TokenRefusedError
from ml_backend.images.fetched import Fetched
from ml_backend.images.references import (
    CloudReference,
    HttpReference,
    ImageReference,
    LabelStudioReference,
    parse_reference,
    readable,
)
from ml_backend.inference.detector import Detector
from ml_backend.label_studio.connections import LabelStudios
from ml_backend.label_studio.controls import ImageField
from ml_backend.label_studio.tasks import images_of, task_id, task_of_file
from ml_backend.metrics import Metrics
from ml_backend.pipeline.image_inference import ImageInference
from ml_backend.redaction import printable, redact
from ml_backend.settings import Settings

log = structlog.get_logger(__name__)

PAUSES = (1, 4)
"""Seconds before a picture that could not be fetched is asked for again."""

PAUSES_AT_HOME = (1, 2, 4, 8, 15, 30, 30, 30)
"""The same while Label Studio, which has the picture, does not answer: two minutes, in which it can start again (it takes 10 to 60 s)."""


class Worker:
    """Fetches the pictures of items and finds what is in them; entered as an async context manager, used from one event loop.

    Args:
        settings: as for the service; the cache is the same.
        detector: what finds.
        places: where a task's data has its images, as the label config says.
        known: tells whether the pictures of a digest need not be looked at again.
    """

    def __init__(
        self, settings: Settings, detector: Detector, places: Sequence[ImageField], known: Callable[[str], bool]
    ) -> None:
        self.metrics = Metrics()
        self._image_inference = ImageInference(settings, detector, self.metrics)
        self._home = LabelStudios.from_settings(settings).configured
        self._places = places
        self._known = known

    async def __aenter__(self) -> Self:
        await self._image_inference.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._image_inference.__aexit__(kind, error, trace)

    async def examine(self, pending: WorkItem) -> Outcome:
        """Look at all pictures of one item; an unforeseen error is logged with its trace, and is a failure of that item.

        Raises:
            BootstrapError: Label Studio refuses the token, so that everything else would fail as well.
        """
        looks: dict[str, list[ImageResult]] = {}
        task: object = pending.item.task
        if pending.item.file is not None:
            task = task_of_file(pending.position, pending.item.file, self._places)
        try:
            for place, values in images_of(task, self._places).items():
                looks[place.key] = []
                for value in values:
                    looks[place.key].append(await self._look(value, task_id(task)))
        except BootstrapError:
            raise
        except TokenRefusedError as error:
            raise BootstrapError(
                f"{error}; what is done is kept: set LABEL_STUDIO_API_KEY to a token that is good, and run the same command again"
            ) from None
        except PrelabelError as error:
            return Outcome(pending.position, looks, Failure(printable(str(error), 1000), error.code))
        except Exception as error:  # one picture that nobody foresaw must not end the job of all others
            log.exception("picture failed unexpectedly", item=redact(pending.item.name))
            reason = f"an error inside Prelabel ({type(error).__name__}); its log has the details"
            return Outcome(pending.position, looks, Failure(reason, PrelabelError.code))
        return Outcome(pending.position, looks)

    async def _look(self, value: object, task: object) -> ImageResult:
        reference = readable(parse_reference(value), self._home, task)
        fetched = await self._fetch(reference, task)
        digest = fetched.version.digest
        if self._known(digest):
            return ImageResult(digest)
        examined = await self._image_inference.examine(reference, fetched)
        return ImageResult(digest, examined.detections.to_bytes(), examined.perceptual_hash, examined.computed)

    async def _fetch(self, reference: ImageReference, task: object) -> Fetched:
        for pause in PAUSES:
            try:
                return await self._fetch_when_home_is_up(reference, task)
            except ImageFetchError as error:
                if not error.retryable:
                    raise
                await asyncio.sleep(pause)
        return await self._fetch_when_home_is_up(reference, task)

    async def _fetch_when_home_is_up(self, reference: ImageReference, task: object) -> Fetched:
        for pause in PAUSES_AT_HOME:
            try:
                return await self._image_inference.fetch(reference, self._home, task)
            except ImageUnreachableError as error:
                if not self._is_at_home(reference):
                    raise
                gone = error
                await asyncio.sleep(pause)
        raise BootstrapError(f"Label Studio does not answer: {gone}; what is done is kept: run the same command again")

    def _is_at_home(self, reference: ImageReference) -> bool:
        match reference:
            case LabelStudioReference() | CloudReference():
                return True
            case HttpReference(url):
                return self._home is not None and self._home.has_host_of(URL(url))
        return False
