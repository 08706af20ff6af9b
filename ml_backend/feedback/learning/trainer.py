"""What Start Training does: catch up, learn, and put it into force."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import structlog

from ml_backend.errors import FeedbackError, PrelabelError
from ml_backend.feedback.ingest.service import FeedbackService
from ml_backend.feedback.learning.project_calibration import CalibrationOptions, CalibrationResult, calibrate_project
from ml_backend.feedback.learning.revisions import CurrentRevisions
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.revisions import Revision
from ml_backend.feedback.store.trainings import Training, put_training

log = structlog.get_logger(__name__)

AUTHOR = "Start Training"


@dataclass(frozen=True)
class Trained:
    """What came of it.

    Attributes:
        result: what the corrections teach.
        revision: what was applied; None where nothing would have changed.
        problems: why some annotations do not count.
    """

    result: CalibrationResult
    revision: Revision | None
    problems: list[str]


class Trainer:
    """Trains projects, each once at a time.

    Args:
        database: of the corrections.
        feedback: catches up with Label Studio.
        revisions: in force here.
        options: of the calibration.
        timeout: seconds that a caller waits for the result.
    """

    def __init__(
        self,
        database: Database,
        feedback: FeedbackService,
        revisions: CurrentRevisions,
        options: CalibrationOptions,
        timeout: float,
    ) -> None:
        self._database = database
        self._feedback = feedback
        self._options = options
        self._timeout = timeout
        self._revisions = revisions
        self._turn = asyncio.Lock()  # one after the other: anybody can press many buttons
        self._running: dict[int, asyncio.Task[Trained]] = {}

    async def train(self, project: int) -> Trained | None:
        """Learn from a project; whoever asks while that goes on waits for the same.

        Args:
            project: its id.

        Returns:
            None where it takes longer than Label Studio waits; it goes on.

        Raises:
            PrelabelError: there is nothing to learn from, or Label Studio or the database cannot be used.
        """
        if project not in self._running:
            task = self._running[project] = asyncio.create_task(self._train(project))
            task.add_done_callback(lambda done: self._ended(project, done))
        running = self._running[project]
        done, _ = await asyncio.wait([running], timeout=self._timeout)
        return running.result() if done else None

    async def _train(self, project: int) -> Trained:
        async with self._turn:
            try:
                problems = await self._feedback.catch_up(project)
                result = await asyncio.to_thread(calibrate_project, self._database, project, self._options)
                revision = await asyncio.to_thread(result.apply_and_record, self._database, AUTHOR)
            except PrelabelError as error:
                current = self._revisions.of(project)
                failed = Training(project, AUTHOR, "failed", current.number if current else 0, error.public)
                with suppress(FeedbackError):  # the database may be what failed
                    await asyncio.to_thread(put_training, self._database, failed)
                raise
            await asyncio.to_thread(self._revisions.refresh)
        log.info("trained", project=project, revision=str(revision) if revision else "nothing to change")
        return Trained(result, revision, problems)

    def _ended(self, project: int, done: asyncio.Task[Trained]) -> None:
        del self._running[project]
        error = None if done.cancelled() else done.exception()
        if isinstance(error, PrelabelError):
            log.warning("training failed", project=project, cause=str(error))
        elif error is not None:
            log.error("training failed unexpectedly", project=project, exc_info=error)

    async def close(self) -> None:
        """Cancel what runs."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
