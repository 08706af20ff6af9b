"""Start Training: process all corrections of a project, calibrate it, and apply the result."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from ml_backend.errors import FeedbackError, PrelabelError
from ml_backend.feedback.ingest.service import FeedbackService
from ml_backend.feedback.learning.project_calibration import (
    CalibrationOptions,
    CalibrationResult,
    calibrate_project,
    revert_project,
)
from ml_backend.feedback.learning.revisions import CurrentRevisions
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.revisions import Revision, SupersededError
from ml_backend.feedback.store.trainings import Training, put_training

log = structlog.get_logger(__name__)

AUTHOR = "Start Training"
CHANGED = "the proposal has changed since it was shown: look at the changes again, and apply those"

Conclude = Callable[[CalibrationResult], Revision | None]


@dataclass(frozen=True)
class Trained:
    """The result of a training.

    Attributes:
        result: of the calibration.
        revision: that was applied; None if nothing would have changed.
        problems: why some annotations could not be processed.
    """

    result: CalibrationResult
    revision: Revision | None
    problems: list[str]


class Trainer:
    """Trains projects, one after the other.

    Args:
        database: of the corrections.
        feedback: catches up with Label Studio.
        revisions: in force here.
        options: see :func:`calibrate_project`.
        timeout: seconds that a caller waits for the result.
    """

    def __init__(
        self,
        database: Database,
        feedback: FeedbackService,
        revisions: CurrentRevisions,
        *,
        options: CalibrationOptions,
        timeout: float,
    ) -> None:
        self._database = database
        self._feedback = feedback
        self._options = options
        self._timeout = timeout
        self._revisions = revisions
        self._turn = asyncio.Lock()  # anybody can press many buttons
        self._running: dict[int, asyncio.Task[Trained]] = {}

    async def train(self, project: int) -> Trained | None:
        """Train a project; calls during a training of the project share its result.

        Args:
            project: its id.

        Returns:
            The result; None if the training takes longer than Label Studio waits, and goes on.

        Raises:
            PrelabelError: the project has no annotations, or Label Studio or the database cannot be used.
        """
        if project not in self._running:
            task = self._running[project] = asyncio.create_task(self._train(project))
            task.add_done_callback(lambda done: self._ended(project, done))
        running = self._running[project]
        done, _ = await asyncio.wait([running], timeout=self._timeout)
        return running.result() if done else None

    async def calibrate(self, project: int, conclude: Conclude) -> tuple[CalibrationResult, Revision | None]:
        """Calibrate a project with the annotations that are in the database, while no other calibration runs.

        Args:
            project: its id.
            conclude: gets the result; returns the revision that it applied, or None.

        Raises:
            PrelabelError: the project has no annotations, or the database cannot be used.
        """
        async with self._turn:
            return await self._calibrate(project, conclude)

    async def apply(self, project: int, digest: str, author: str) -> Revision:
        """Apply the proposal that somebody saw, while no other calibration runs.

        Args:
            project: its id.
            digest: of that proposal, as in :attr:`CalibrationResult.digest`.
            author: who applies it.

        Raises:
            SupersededError: the proposal is another one now, or changes nothing.
            PrelabelError: the project has no annotations, or the database cannot be used.
        """

        def conclude(result: CalibrationResult) -> Revision | None:
            return result.apply(self._database, author) if result.digest == digest else None

        _, revision = await self.calibrate(project, conclude)
        if revision is None:
            raise SupersededError(CHANGED)
        return revision

    async def revert(self, project: int, after: int, author: str) -> Revision:
        """Take back the revision that somebody saw in force, while no calibration runs.

        Args:
            project: its id.
            after: number of that revision.
            author: who takes it back.

        Raises:
            SupersededError: another revision is in force now.
            FeedbackError: there is no revision to revert, or the database cannot be used.
        """
        async with self._turn:
            revision = await asyncio.to_thread(revert_project, self._database, project, author, after)
            await asyncio.to_thread(self._revisions.refresh)
        log.info("reverted", project=project, author=author, revision=str(revision))
        return revision

    async def _calibrate(self, project: int, conclude: Conclude) -> tuple[CalibrationResult, Revision | None]:
        try:
            result, revision = await asyncio.to_thread(self._conclude, project, conclude)
        except SupersededError:  # another service, or a command, was first: from there once more
            result, revision = await asyncio.to_thread(self._conclude, project, conclude)
        if revision is not None:
            await asyncio.to_thread(self._revisions.refresh)
            log.info("trained", project=project, author=revision.author, revision=str(revision))
        return result, revision

    def _conclude(self, project: int, conclude: Conclude) -> tuple[CalibrationResult, Revision | None]:
        result = calibrate_project(self._database, project, self._options)
        return result, conclude(result)

    async def _train(self, project: int) -> Trained:
        async with self._turn:
            try:
                problems = await self._feedback.catch_up(project)
                result, revision = await self._calibrate(project, lambda done: done.apply(self._database, AUTHOR))
            except PrelabelError as error:
                current = self._revisions.of(project)
                failed = Training(project, AUTHOR, "failed", current.number if current else 0, error.public)
                with suppress(FeedbackError):  # the database may be what failed
                    await asyncio.to_thread(put_training, self._database, failed)
                raise
        return Trained(result, revision, problems)

    def _ended(self, project: int, done: asyncio.Task[Trained]) -> None:
        del self._running[project]
        error = None if done.cancelled() else done.exception()
        if isinstance(error, PrelabelError):
            log.warning("training failed", project=project, cause=str(error))
        elif error is not None:
            log.error("training failed unexpectedly", project=project, exc_info=error)

    async def close(self) -> None:
        """Cancel running trainings."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
