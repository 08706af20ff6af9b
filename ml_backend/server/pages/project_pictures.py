"""The pictures of a project's page: images with the most edits, and crops of boxes to check. Nothing of them is kept."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from ml_backend.errors import PrelabelError
from ml_backend.feedback.evaluation.candidates import Candidate
from ml_backend.feedback.evaluation.report_images import draw, side_of
from ml_backend.feedback.evaluation.report_page import jpeg
from ml_backend.feedback.evaluation.tallies import WorstImage
from ml_backend.pipeline.prediction import Pipeline
from ml_backend.server.pages.project_data import ProjectData, digest_of

AT_ONCE = 2  # pictures that are fetched and drawn: each takes a file and its pixels in memory, and predictions go first
WAITING = 60  # pictures at most: two pages with all of theirs
BUSY_SECONDS = 60  # that a picture may wait and take


class GoneError(PrelabelError):
    """A list of pictures has changed since the page was made."""

    status = 410
    code = "gone"


class BusyError(PrelabelError):
    """Too many pictures are asked for at once."""

    status = 503
    code = "busy"
    retryable = True


class ProjectPictures:
    """Draws pictures, a few at once.

    Args:
        data: the lists of pictures.
        pipeline: fetches and decodes images as for predictions.
    """

    def __init__(self, data: ProjectData, pipeline: Pipeline) -> None:
        self._data = data
        self._pipeline = pipeline
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def draw(self, project: int, kind: str, place: int, of: str) -> bytes:
        """Return a picture as a JPEG file.

        Args:
            project: its id.
            kind: of the list, ``worst`` or ``check``.
            place: in the list.
            of: digest of the list, as in the page.

        Raises:
            GoneError: there is no such picture (any more).
            BusyError: too many pictures wait.
            PrelabelError: the image cannot be fetched or decoded.
        """
        listed = self._listed(project, kind)
        if digest_of(listed) != of or not 0 <= place < len(listed):
            raise GoneError("the list of pictures has changed: load the page again")
        wanted = listed[place]
        async with self._slot():
            pixels = await self._pipeline.pixels(wanted.reference, wanted.task, str(project), side_of(wanted))
            return await self._data.in_thread(lambda: jpeg(draw(pixels, wanted)))

    def _listed(self, project: int, kind: str) -> Sequence[WorstImage | Candidate]:
        if kind == "worst":
            figures = self._data.figures.kept(project)
            return figures.value.worst if figures else ()
        review = self._data.reviews.kept(project)
        return review.value.candidates if review and review.value else ()

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        if self._waiting >= WAITING:
            raise BusyError("many pictures are being drawn: try again in a minute")
        self._waiting += 1
        try:
            async with asyncio.timeout(BUSY_SECONDS), self._slots:
                yield
        except TimeoutError:
            raise BusyError(f"the picture was not there within {BUSY_SECONDS} s: try again") from None
        finally:
            self._waiting -= 1
