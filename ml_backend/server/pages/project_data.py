"""The data of projects' pages: state, figures, the list of boxes to check, and what Label Studio says. All of it is read in threads."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from ml_backend.errors import LabelConfigError
from ml_backend.feedback.evaluation.annotators import AnnotatorFigures
from ml_backend.feedback.evaluation.candidates import Candidate, Review
from ml_backend.feedback.evaluation.days import Day, DayTally
from ml_backend.feedback.evaluation.report_page import view
from ml_backend.feedback.evaluation.tallies import WorstImage
from ml_backend.feedback.learning.override_changes import Change, changes_between, class_names
from ml_backend.feedback.learning.project_calibration import CalibrationOptions, calibrate_project
from ml_backend.feedback.learning.project_report import (
    ProjectState,
    evaluate,
    name_annotators,
    read_state,
)
from ml_backend.feedback.learning.review import review_project
from ml_backend.feedback.store.database import Database
from ml_backend.label_studio.client import StudioClient
from ml_backend.postprocessing.overrides import NO_OVERRIDES
from ml_backend.server.pages.computed import Computed
from ml_backend.server.pages.daemons import Daemons
from ml_backend.server.pages.studio_facts import ANSWER_SECONDS, StudioFacts, StudioQuestions
from ml_backend.settings import Settings

T = TypeVar("T")

DAYS = 60  # of the work by day, up to the last one
CANDIDATES = 24  # boxes to check on the page


@dataclass(frozen=True)
class PageFigures:
    """The figures of a project, without the annotations.

    Attributes:
        figures: JSON of the report; annotators have their ids.
        annotators: their figures.
        days: the work by day.
        worst: images with the most edits.
        view: of the sections on figures, see :func:`~ml_backend.feedback.evaluation.report_page.view`.
    """

    figures: dict[str, Any]
    annotators: Sequence[AnnotatorFigures]
    days: Sequence[Day]
    worst: Sequence[WorstImage]
    view: dict[str, Any]

    def named(self, facts: StudioFacts) -> dict[str, Any]:
        """Return the JSON of the report with the names of annotators."""
        name_annotators(self.annotators, facts.names)
        return self.figures | {"annotators": [each.to_json() for each in self.annotators]}


@dataclass(frozen=True)
class PageProposal:
    """What learning proposes.

    Attributes:
        calibration: JSON of the calibration's result.
        proposal: JSON of its proposal.
        changes: that it would make.
        digest: of the proposal, by which it is applied; empty where it would change nothing.
    """

    calibration: dict[str, Any]
    proposal: dict[str, Any]
    changes: Sequence[Change]
    digest: str


class ProjectData:
    """The data of all projects' pages.

    Args:
        database: of the corrections.
        settings: of the service.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._evaluating: dict[int, DayTally] = {}
        self._reading = ThreadPoolExecutor(2, thread_name_prefix="pages")
        # One for all projects: figures compete with predictions for the processors.
        self._computing = Daemons(1, "figures")
        self.figures = Computed(self._make_figures, self._computing)
        self.proposals = Computed(self._make_proposal, self._computing)
        self.reviews = Computed(self._make_review, self._computing)
        self.studio = StudioQuestions(StudioClient.if_set(settings, pauses=(), timeout=ANSWER_SECONDS))

    async def state(self, project: int) -> ProjectState:
        """Return the state of a project.

        Raises:
            UnknownProjectError: no event of the project was ever kept.
            FeedbackError: the database cannot be used.
        """
        return await self.in_thread(lambda: read_state(self._database, project))

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run some work on a page, such as rendering it."""
        return await asyncio.get_running_loop().run_in_executor(self._reading, work)

    def evaluated(self, project: int) -> int:
        """Return how many annotations the running evaluation of a project has evaluated."""
        tally = self._evaluating.get(project)
        return tally.passed if tally else 0

    def _make_figures(self, project: int) -> tuple[ProjectState, PageFigures]:
        state = read_state(self._database, project)
        days = self._evaluating[project] = DayTally()
        try:
            report = evaluate(self._database, state, self._settings, days)
        finally:
            del self._evaluating[project]
        figures = report.to_json()
        return state, PageFigures(figures, report.annotators, days.last(DAYS), report.worst, view(report, figures))

    def _make_proposal(self, project: int) -> tuple[ProjectState, PageProposal]:
        state = read_state(self._database, project)
        made = calibrate_project(self._database, project, CalibrationOptions.of(self._settings))
        values, changes, digest = made.proposal.to_json(), list[Change](), ""
        if made.proposal.anything:
            names = class_names([values, *(each.evidence for each in state.revisions)])
            now = made.current.taught_to(made.detector) if made.current else NO_OVERRIDES
            changes = changes_between(now, made.proposal.overrides, names, self._settings.model_score_threshold)
            digest = made.digest
        return state, PageProposal(made.to_json(), values, changes, digest)

    def _make_review(self, project: int) -> tuple[ProjectState, Review | None]:
        """Return the boxes to check; None for a project without boxes."""
        state = read_state(self._database, project)
        try:
            with self._database.reading() as connection:
                return state, review_project(connection, state.project, self._settings, CANDIDATES)
        except LabelConfigError:  # the section on figures says so
            return state, None

    async def close(self) -> None:
        """End the threads, without waiting long for a computation."""
        self.studio.close()
        await self.figures.close()
        await self.proposals.close()
        await self.reviews.close()
        await asyncio.to_thread(self._computing.shutdown)
        await asyncio.to_thread(self._reading.shutdown)


def digest_of(pictures: Sequence[WorstImage | Candidate]) -> str:
    """Return a digest of a list of pictures, by which an address says which list its number counts in."""
    return hashlib.sha256(repr(pictures).encode()).hexdigest()[:16]
