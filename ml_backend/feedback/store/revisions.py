"""Revisions of a project: numbered label overrides with author, time and evidence. A revision never changes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from ml_backend.errors import FeedbackError
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.tables import revisions
from ml_backend.postprocessing.overrides import NO_OVERRIDES, LabelOverrides


class SupersededError(FeedbackError):
    """Another revision was applied since the present one was computed."""

    status = 409
    code = "superseded"


@dataclass(frozen=True)
class Revision:
    """One revision.

    Attributes:
        project: id of the project.
        number: counted from 1.
        stands_for: its own number, or that of the revision to which it reverts; 0 for the state before any revision.
        before: the revision to which a revert leads; 0 for the state before any revision.
        overrides: in force with this revision.
        detector: first 8 hex digits of the fingerprint of its detector; empty if unknown.
        author: who applied it.
        created_at: ISO 8601, UTC.
        evidence: the figures that it rests on, as plain JSON values.
    """

    project: int
    number: int
    stands_for: int
    before: int
    overrides: LabelOverrides
    detector: str
    author: str
    created_at: str
    evidence: Mapping[str, Any]

    def taught_to(self, detector: str) -> LabelOverrides:
        """Return the overrides for a detector: none for another one than its own, whose scores mean something else.

        Args:
            detector: first 8 hex digits of the fingerprint; empty if unknown.
        """
        return NO_OVERRIDES if self.is_aside(detector) else replace(self.overrides, revision=self.number)

    def is_aside(self, detector: str) -> bool:
        """Tell whether it is set aside for a detector, since it is of another one."""
        known = self.detector != "" != detector
        return known and self.detector != detector and self.overrides != NO_OVERRIDES

    def __str__(self) -> str:
        back = (
            "" if self.stands_for == self.number else f", which reverts to {self.stands_for or 'the state before any'}"
        )
        return f"revision {self.number} of project {self.project}{back}"


def history(connection: Connection | None, project: int) -> list[Revision]:
    """Return the revisions of a project by ascending number."""
    if connection is None:
        return []
    query = select(revisions).where(revisions.c.project == project).order_by(revisions.c.number)
    return [
        Revision(
            row["project"],
            row["number"],
            row["stands_for"],
            row["before"],
            LabelOverrides.from_json(json.loads(row["learned"])),
            row["detector"],
            row["author"],
            row["created_at"],
            json.loads(row["evidence"]),
        )
        for row in connection.execute(query).mappings()
    ]


def apply(  # noqa: PLR0913 - the columns of a row
    database: Database,
    project: int,
    overrides: LabelOverrides,
    *,
    detector: str,
    author: str,
    evidence: Mapping[str, Any],
    after: int,
) -> Revision:
    """Put overrides into force as the next revision.

    Args:
        database: of the corrections.
        project: id of the project.
        overrides: complete, not only the changes.
        detector: first 8 hex digits of the fingerprint of their detector.
        author: who applies them.
        evidence: the figures that they rest on, as plain JSON values.
        after: number of the revision in force when they were computed; 0 for none.

    Raises:
        SupersededError: another revision was applied meanwhile.
        FeedbackError: the database cannot be used.
    """
    with database.writing() as connection:
        past = history(connection, project)
        if (past[-1].number if past else 0) != after:
            now = str(past[-1]) if past else f"no revision of project {project}"
            raise SupersededError(
                f"{now} is in force meanwhile: calibrate again to see the changes from there, and apply those"
            )
        before = past[-1].stands_for if past else 0
        revision = Revision(project, after + 1, after + 1, before, overrides, detector, author, _now(), evidence)
        _insert(connection, revision)
    return revision


def overrides_before(past: Sequence[Revision]) -> LabelOverrides:
    """Return the overrides to which a revert of the last revision leads.

    Args:
        past: all revisions of the project by ascending number, at least one.
    """
    by_number = {each.number: each for each in past}
    target = by_number[past[-1].stands_for].before if past[-1].stands_for else 0
    return by_number[target].overrides if target else NO_OVERRIDES


def revert(database: Database, project: int, *, author: str, after: int | None = None) -> Revision:
    """Revert to the state before the current revision, as a new revision.

    Args:
        database: of the corrections.
        project: id of the project.
        author: who reverts.
        after: number of the revision that was in force when that was decided; None to revert whichever is.

    Raises:
        SupersededError: another revision was applied meanwhile.
        FeedbackError: there is no revision to revert, or the database cannot be used.
    """
    with database.reading() as connection:
        none = connection is None or not history(connection, project)
    if none:
        raise FeedbackError(f"project {project} has no revision to revert")
    with database.writing() as connection:
        past = history(connection, project)
        if after is not None and past[-1].number != after:
            raise SupersededError(f"{past[-1]} is in force meanwhile: look at its changes, and decide again")
        by_number = {each.number: each for each in past}
        current = past[-1].stands_for
        if not current:
            raise FeedbackError(f"all revisions of project {project} are reverted already")
        target = by_number[current].before
        overrides = overrides_before(past)
        detector = by_number[target].detector if target else past[-1].detector
        # A further revert leads to the state before the target.
        before = by_number[target].before if target else 0
        number, evidence = past[-1].number + 1, {"reverts": current}
        revision = Revision(project, number, target, before, overrides, detector, author, _now(), evidence)
        _insert(connection, revision)
    return revision


def _insert(connection: Connection, revision: Revision) -> None:
    row = vars(revision) | {"evidence": json.dumps(revision.evidence)}
    row["learned"] = json.dumps(row.pop("overrides").to_json())
    try:
        connection.execute(insert(revisions).values(row))
    except IntegrityError:
        raise SupersededError(f"another revision of project {revision.project} is being applied: try again") from None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
