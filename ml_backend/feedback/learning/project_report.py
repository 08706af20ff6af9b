"""The report of a project with what was learned from it: one source for ``prelabel report`` and for the project's page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, func, select

from ml_backend.feedback.evaluation.annotators import AnnotatorFigures, named
from ml_backend.feedback.evaluation.days import DayTally
from ml_backend.feedback.evaluation.report import Report, make_report, task_links
from ml_backend.feedback.learning.project_calibration import (
    CalibrationOptions,
    CalibrationResult,
    calibrate_project,
    detector_of,
)
from ml_backend.feedback.store.annotation_records import annotations_of
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.event_queue import pending
from ml_backend.feedback.store.projects import Project, get_project
from ml_backend.feedback.store.revisions import Revision, history
from ml_backend.feedback.store.tables import annotations
from ml_backend.feedback.store.trainings import Training, last_training
from ml_backend.postprocessing.overrides import NO_OVERRIDES
from ml_backend.postprocessing.postprocessor import Postprocessor
from ml_backend.redaction import printable
from ml_backend.settings import Settings

MAX_NAME_LENGTH = 100  # characters of an annotator's name


@dataclass(frozen=True)
class ProjectState:
    """What the database says of a project at once, without evaluating an annotation.

    Attributes:
        project: with its label config.
        revisions: by ascending number.
        detector: fingerprint of the current detector, 8 hex digits; empty if unknown.
        waiting: events that wait to be processed.
        problem: why the latest of them that failed did; empty for none.
        last_training: None before the first.
        annotations: all of them, with skipped ones.
        basis: changes with the label config, the revision and the detector, by which annotations are evaluated.
        version: changes with that and with the annotations: equal versions have equal figures.
    """

    project: Project
    revisions: Sequence[Revision]
    detector: str
    waiting: int
    problem: str
    last_training: Training | None
    annotations: int
    basis: tuple[object, ...]
    version: tuple[object, ...]

    @property
    def revision(self) -> Revision | None:
        """The current revision; None before the first."""
        return self.revisions[-1] if self.revisions else None

    def report_json(self, figures: Mapping[str, Any], calibration: Mapping[str, Any]) -> dict[str, Any]:
        """Return the JSON of ``prelabel report``.

        Args:
            figures: JSON of the :class:`~ml_backend.feedback.evaluation.report.Report`.
            calibration: JSON of the calibration's result.
        """
        last = self.last_training.to_json() if self.last_training else None
        learning = {**calibration, "last_training": last}
        return {"project": self.project.id, "waiting": self.waiting, **figures, "learning": learning}


@dataclass(frozen=True)
class ProjectReport:
    """The figures of a project, and what learning proposes.

    Attributes:
        state: when they were made.
        figures: of the annotations.
        calibration: the next one, which is not applied.
    """

    state: ProjectState
    figures: Report
    calibration: CalibrationResult

    def to_json(self) -> dict[str, Any]:
        """Return the JSON of ``prelabel report``."""
        return self.state.report_json(self.figures.to_json(), self.calibration.to_json())


def read_state(database: Database, number: int) -> ProjectState:
    """Return the state of a project.

    Raises:
        UnknownProjectError: no event of the project was ever kept.
        FeedbackError: the database cannot be used.
    """
    with database.reading() as connection:
        about = get_project(connection, number, database.place)
        assert connection is not None  # noqa: S101 - without tables, the project is unknown
        revisions = history(connection, number)
        detector = detector_of(connection)
        updated = annotations.c.updated
        known = select(
            func.count(),
            func.max(updated),
            func.sum(updated),
            func.max(annotations.c.id),
            func.sum(case((annotations.c.detector == detector, 1), else_=0)),
            func.sum(case((annotations.c.whole, 1), else_=0)),
        ).where(annotations.c.project == number)
        counts = tuple(connection.execute(known).one())
        last = last_training(connection, number)
    waiting, problem = pending(database, number)
    basis = (about, revisions[-1].number if revisions else 0, detector)
    return ProjectState(about, revisions, detector, waiting, problem, last, counts[0], basis, (basis, counts))


def evaluate(database: Database, state: ProjectState, settings: Settings, days: DayTally) -> Report:
    """Return the figures of a project. It takes seconds for thousands of annotations.

    Args:
        database: of the corrections.
        state: of the project.
        settings: of the postprocessor, and the address of Label Studio.
        days: counts the annotations meanwhile.

    Raises:
        FeedbackError: the database cannot be used.
        LabelConfigError: the label config cannot be served.
    """
    number, current = state.project.id, state.revision
    postprocessor = Postprocessor.from_label_config(
        state.project.label_config,
        score_threshold=settings.model_score_threshold,
        overrides=current.taught_to(state.detector) if current else NO_OVERRIDES,
        tiles=settings.tiles,
    )
    with database.reading() as connection:
        return make_report(
            days.through(annotations_of(connection, number)),
            postprocessor,
            state.detector,
            task_links(settings.label_studio_url, number),
        )


def make_project_report(database: Database, number: int, settings: Settings) -> ProjectReport:
    """Evaluate the annotations of a project, and propose what to learn from them.

    Raises:
        UnknownProjectError: no event of the project was ever kept.
        FeedbackError: the database cannot be used.
        LabelConfigError: the label config cannot be served.
    """
    state, days = read_state(database, number), DayTally()
    figures = evaluate(database, state, settings, days)
    return ProjectReport(state, figures, calibrate_project(database, number, CalibrationOptions.of(settings)))


def name_annotators(annotators: Sequence[AnnotatorFigures], names: Mapping[int, str]) -> None:
    """Write names into the figures of annotators; those without one are called by their ids.

    Args:
        annotators: the figures.
        names: by the id of a user of Label Studio.
    """
    named(annotators, lambda number: printable(names.get(number, f"annotator {number}"), MAX_NAME_LENGTH))
