"""From the corrections of a project to a revision: the same for ``prelabel calibrate`` and for Start Training."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection

from ml_backend.feedback.learning.calibration import Proposal, propose
from ml_backend.feedback.store.annotation_records import Annotation, annotations_of
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.detectors import current_detector
from ml_backend.feedback.store.projects import Project, get_project
from ml_backend.feedback.store.revisions import Revision, apply, history
from ml_backend.feedback.store.trainings import Result, Training, put_training
from ml_backend.label_studio.controls import Control
from ml_backend.postprocessing.overrides import NO_OVERRIDES
from ml_backend.settings import Settings


@dataclass(frozen=True)
class CalibrationResult:
    """What the corrections of a project teach.

    Attributes:
        project: which.
        current: the revision that is in force; None where there is none.
        proposal: what would change.
        detector: fingerprint of the detector whose detections it rests on, 8 hex; empty where no service has named one.
    """

    project: Project
    current: Revision | None
    proposal: Proposal
    detector: str

    def apply(self, database: Database, author: str) -> Revision | None:
        """Put it into force as the next revision; gives None where nothing would change.

        Raises:
            FeedbackError: another revision has been applied meanwhile, or the database cannot be used.
        """
        if not self.proposal.anything:
            return None
        after = self.current.number if self.current else 0
        evidence = self.proposal.to_json()
        return apply(
            database,
            self.project.id,
            self.proposal.overrides,
            detector=self.detector,
            author=author,
            evidence=evidence,
            after=after,
        )

    def apply_and_record(self, database: Database, author: str) -> Revision | None:
        """Do the same as :meth:`apply`, and keep it as the last training of the project."""
        revision = self.apply(database, author)
        number = revision.number if revision else self.current.number if self.current else 0
        outcome: Result = "applied" if revision else "unchanged"
        put_training(database, Training(self.project.id, author, outcome, number, self.summary()))
        return revision

    def summary(self) -> str:
        """Return the changes, or why there are none."""
        labels, relabelings = self.proposal.labels, self.proposal.relabelings
        changes = [
            f"{each.where.label}: {each.threshold_before:g} -> {each.threshold_after:g}"
            for each in labels
            if each.threshold_before != each.threshold_after
        ] + [f"{each.class_name} -> {each.label}" for each in relabelings]
        reasons = [f"{each.where.label}: {each.reason}" for each in labels if each.reason]
        return "; ".join(changes or reasons) or "nothing to change"


def learn(database: Database, settings: Settings, number: int, target: float | None = None) -> CalibrationResult:
    """Work out what the corrections of a project teach.

    Args:
        database: where they are.
        settings: as for the service.
        number: id of the project.
        target: precision that is wanted, 0 to 1; None for the one that the label config states (``model_target_precision``), else the
            settings' (``PRELABEL_TARGET_PRECISION``).

    Raises:
        FeedbackError: nothing is known of the project, or the database cannot be used.
        LabelConfigError: its label config cannot be served.
    """

    def wanted(control: Control) -> float:
        return target or control.target_precision or settings.target_precision

    with database.reading() as connection:
        project = get_project(connection, number, database.place)
        past = history(connection, number)
        current = past[-1] if past else None
        detector = detector_of(connection)
        proposal = propose(
            lambda: evidence_of(connection, number, detector),
            project.label_config,
            current.taught_to(detector) if current else NO_OVERRIDES,
            score_threshold=settings.model_score_threshold,
            targets=wanted,
        )
    return CalibrationResult(project, current, proposal, detector)


def detector_of(connection: Connection | None) -> str:
    """Return the fingerprint of the current detector, 8 hex; empty where no service has named one."""
    current = None if connection is None else current_detector(connection)
    return current.fingerprint if current else ""


def evidence_of(connection: Connection | None, number: int, detector: str) -> Iterator[Annotation]:
    """Yield the annotations of a project that a detector has looked at; all where the detector is unknown."""
    return (each for each in annotations_of(connection, number) if each.skipped or detector in {"", each.detector})
