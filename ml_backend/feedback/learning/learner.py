"""Learning without a button: revisions are prepared when enough corrections have come, and applied where they surely save time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Literal, Self

import structlog

from ml_backend.errors import PrelabelError
from ml_backend.feedback.learning.project_calibration import CalibrationResult
from ml_backend.feedback.learning.trainer import Trainer
from ml_backend.feedback.store.annotation_records import count_annotations
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.revisions import Revision
from ml_backend.feedback.store.trainings import Training, last_training, put_training
from ml_backend.settings import Settings

log = structlog.get_logger(__name__)

AUTHOR = "Prelabel itself"
LOOK_SECONDS = 10  # between counts of the annotations
MIN_NEW = 5  # annotations since the last look; so many pictures are needed for thresholds
NEW_SHARE = 0.1  # of the annotations that were there: a large project does not change by five more

Mode = Literal["off", "suggest", "auto"]


@dataclass(frozen=True)
class LearnOptions:
    """What settings say about learning without a button.

    Attributes:
        mode: ``suggest`` only prepares revisions, and ``auto`` also applies those that surely save time.
        pause: shortest time between two revisions of a project, of which ``auto`` makes the second, in seconds.
    """

    mode: Mode = "suggest"
    pause: float = 3600

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the options in the settings."""
        return cls(settings.learn, settings.learn_pause)


@dataclass
class Learner:
    """Prepares the next revision of each project in the background, with the trainer's options.

    Attributes:
        database: of the corrections.
        trainer: calibrates.
        options: see :class:`LearnOptions`.
        leads: whether this service is the one that learns, of those that share the database.
    """

    database: Database
    trainer: Trainer
    options: LearnOptions
    leads: Callable[[], bool] = lambda: True
    _counts: dict[int, int] = field(default_factory=dict)  # annotations at the last calibration, by project
    _later: dict[int, float] = field(
        default_factory=dict
    )  # by project, when a revision may be applied (monotonic, seconds)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look for new corrections while the block lasts."""
        looking = None if self.options.mode == "off" else asyncio.create_task(self._run())
        try:
            yield
        finally:
            if looking is not None:
                looking.cancel()
                with suppress(asyncio.CancelledError):
                    await looking

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self.leads():
                await self.look()

    async def look(self) -> None:
        """Calibrate the projects that have enough new corrections, one after the other."""
        try:
            counts = await asyncio.to_thread(self._count)
        except PrelabelError as error:
            log.debug("corrections cannot be counted now", cause=str(error))
            return
        for project, count in counts.items():
            if self._is_due(project, count):
                self._counts[project] = count
                self._later.pop(project, None)
                try:
                    await self.trainer.calibrate(project, self._conclude)
                except PrelabelError as error:
                    log.warning("no revision could be prepared", project=project, cause=str(error))
                except Exception:
                    log.exception("preparing a revision failed unexpectedly", project=project)

    def _count(self) -> Mapping[int, int]:
        with self.database.reading() as connection:
            return {} if connection is None else count_annotations(connection)

    def _is_due(self, project: int, count: int) -> bool:
        known = self._counts.get(project, 0)
        return count - known >= max(MIN_NEW, NEW_SHARE * known) or monotonic() >= self._later.get(project, float("inf"))

    def _conclude(self, result: CalibrationResult) -> Revision | None:
        """Apply a result, or record it as a suggestion; return the new revision."""
        project, saving = result.project.id, result.proposal.effort.in_all
        number = result.current.number if result.current else 0
        with self.database.reading() as connection:
            last = None if connection is None else last_training(connection, project)
        if not result.proposal.anything:
            if (
                last is not None and last.outcome == "suggested"
            ):  # which has been applied since, or is not worth it any more
                put_training(self.database, Training(project, AUTHOR, "unchanged", number, result.summary()))
            return None
        if self.options.mode == "auto" and saving is not None and saving.is_sure:
            held = self._held(result.current)
            if not held:
                return result.apply(self.database, AUTHOR)
        else:
            held = ""
        expected = f"{saving}; " if saving else ""
        told = f"{expected}{result.summary()}"
        put_training(self.database, Training(project, AUTHOR, "suggested", number, f"{told}; {held}" if held else told))
        return None

    def _held(self, current: Revision | None) -> str:
        """Return why a revision is not replaced without a person; empty if it may be."""
        if current is None:
            return ""
        if current.stands_for != current.number:
            return "waiting for Start Training, since the last change was reverted"
        if any(label.get("target") is not None for label in current.evidence.get("labels", ())):
            return "waiting for Start Training, since the present revision has a target precision"
        due = datetime.fromisoformat(current.created_at) + timedelta(seconds=self.options.pause)
        left = (due - datetime.now(UTC)).total_seconds()
        if left <= 0:
            return ""
        self._later[current.project] = monotonic() + left
        return f"to be applied after {due:%H:%M} UTC, since the last revision is of {current.created_at[11:16]}"
