"""The calibration of a project, for ``prelabel calibrate`` and Start Training."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from ml_backend.feedback.learning.calibration import CHOICES_ONLY, Proposal, propose
from ml_backend.feedback.store.annotation_records import Annotation, annotations_of
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.detectors import current_detector
from ml_backend.feedback.store.projects import Project, get_project
from ml_backend.feedback.store.revisions import Revision, apply, history, revert
from ml_backend.feedback.store.trainings import Result, Training, put_training
from ml_backend.label_studio.controls.rectangles import RectangleControl
from ml_backend.postprocessing.overrides import NO_OVERRIDES
from ml_backend.settings import Settings

MOST_ANNOTATIONS = (
    20_000  # the newest, that a calibration rests on: it runs inside the service, and more would change little
)


@dataclass(frozen=True)
class CalibrationResult:
    """The calibration of a project.

    Attributes:
        project: that was calibrated.
        current: the revision in force; None before the first.
        proposal: new overrides, and the changes that they would make.
        detector: fingerprint of the detector whose detections it rests on, 8 hex digits; empty if unknown.
    """

    project: Project
    current: Revision | None
    proposal: Proposal
    detector: str

    def apply(self, database: Database, author: str) -> Revision | None:
        """Put the proposal into force as the next revision, and record the training; returns None if nothing would change.

        Raises:
            FeedbackError: another revision was applied meanwhile, or the database cannot be used.
        """
        number = self.current.number if self.current else 0
        revision: Revision | None = None
        outcome: Result = "unchanged"
        if self.proposal.anything:
            revision = apply(
                database,
                self.project.id,
                self.proposal.overrides,
                detector=self.detector,
                author=author,
                evidence=self.proposal.to_json(),
                after=number,
            )
            number, outcome = revision.number, "applied"
        put_training(database, Training(self.project.id, author, outcome, number, self.summary()))
        return revision

    def to_json(self) -> dict[str, Any]:
        """Return labels of classes, seconds a picture and the changes as plain JSON values."""
        values = self.proposal.to_json()
        return {"would_change": self.proposal.anything, "summary": self.summary()} | {
            name: values[name] for name in ("classes", "relatives", "effort")
        }

    @property
    def digest(self) -> str:
        """A digest of all that :meth:`apply` would put into force, by which somebody can say which proposal they saw."""
        number = self.current.number if self.current else 0
        content = [number, self.detector, self.proposal.anything, self.proposal.overrides.to_json(), self.summary()]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]

    def summary(self) -> str:
        """Return the changes, or the reasons for none."""
        if not self.proposal.labels:
            return CHOICES_ONLY
        labels, relabelings = self.proposal.labels, self.proposal.relabelings
        changes = [
            f"{each.where.label}: {each.threshold_before:g} -> {each.threshold_after:g}"
            for each in labels
            if each.threshold_before != each.threshold_after
        ] + [f"{each.class_name} -> {each.after}" for each in relabelings if each.evidence]
        relatives = sum(not each.evidence for each in relabelings)
        changes += [f"{relatives} classes by their relatives"] * bool(relatives)
        reasons = [f"{each.where.label}: {each.reason}" for each in labels if each.reason]
        return "; ".join(changes or reasons) or "nothing to change"


@dataclass(frozen=True)
class CalibrationOptions:
    """What settings and options say about calibrations.

    Attributes:
        score_threshold: general threshold, 0 to 1.
        target_precision: precision to reach where the label config states none (``model_target_precision``), 0 to 1; None for thresholds by
            effort.
        target: precision to reach in spite of both; None for none.
        seconds: of edits, by the name of an attribute of :class:`~ml_backend.feedback.learning.effort.EditSeconds`, where they are stated.
        tiles: number of tiles along each side for controls that do not say, at most.
    """

    score_threshold: float
    target_precision: float | None = None
    target: float | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    tiles: int = 0

    @classmethod
    def of(cls, settings: Settings, target: float | None = None) -> "CalibrationOptions":
        """Return the options of the settings, with a precision to reach in spite of them."""
        seconds = {
            "draw": settings.seconds_draw,
            "delete": settings.seconds_delete,
            "adjust": settings.seconds_adjust,
            "relabel": settings.seconds_relabel,
            "look": settings.seconds_look,
        }
        stated = {name: value for name, value in seconds.items() if value is not None}
        return cls(settings.model_score_threshold, settings.target_precision, target, stated, settings.tiles)


def calibrate_project(database: Database, number: int, options: CalibrationOptions) -> CalibrationResult:
    """Propose thresholds and labels of classes from the corrections of a project: its newest :data:`MOST_ANNOTATIONS` annotations.

    Args:
        database: of the corrections.
        number: id of the project.
        options: of settings and the command line.

    Raises:
        FeedbackError: the project is unknown, or the database cannot be used.
        LabelConfigError: its label config cannot be served.
    """

    def target_of(control: RectangleControl) -> float | None:
        return options.target or control.target_precision or options.target_precision

    with database.reading() as connection:
        project = get_project(connection, number, database.place)
        past = history(connection, number)
        current = past[-1] if past else None
        detector = detector_of(connection)
        proposal = propose(
            lambda: detected_by(detector, annotations_of(connection, number, MOST_ANNOTATIONS)),
            project.label_config,
            current.taught_to(detector) if current else NO_OVERRIDES,
            score_threshold=options.score_threshold,
            targets=target_of,
            stated_seconds=options.seconds,
            tiles=options.tiles,
        )
    return CalibrationResult(project, current, proposal, detector)


def revert_project(database: Database, number: int, author: str, after: int | None = None) -> Revision:
    """Revert to the state before the current revision, and record that as the last training.

    Args:
        database: of the corrections.
        number: id of the project.
        author: who reverts.
        after: number of the revision that was in force when that was decided; None to revert whichever is.

    Raises:
        SupersededError: another revision was applied meanwhile.
        FeedbackError: there is no revision to revert, or the database cannot be used.
    """
    revision = revert(database, number, author=author, after=after)
    put_training(database, Training(number, author, "reverted", revision.number, str(revision)))
    return revision


def detector_of(connection: Connection | None) -> str:
    """Return the fingerprint of the current detector, 8 hex digits; empty if no service has recorded one."""
    current = None if connection is None else current_detector(connection)
    return current.fingerprint if current else ""


def detected_by(detector: str, annotations: Iterable[Annotation]) -> Iterator[Annotation]:
    """Yield the annotations with detections of a detector (fingerprint, 8 hex digits; empty for any), and skipped ones."""
    return (each for each in annotations if each.skipped or detector in {"", each.detector})
