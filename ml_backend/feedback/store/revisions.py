"""What was learned, as numbered revisions of a project: each says who, when and on what evidence, and none is ever changed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from ml_backend.errors import FeedbackError
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.tables import revisions
from ml_backend.postprocessing.overrides import NO_OVERRIDES, LabelOverrides


@dataclass(frozen=True)
class Revision:
    """One revision.

    Attributes:
        project: id of the project.
        number: from 1, one by one.
        stands_for: its own number, or that of the revision it goes back to; 0 where that is what was there before any.
        before: the revision that was in force, where going back leads.
        overrides: what is in force with it.
        detector: first 8 hex digits of the fingerprint of the detector that it holds for; empty where that is unknown.
        author: who applied it.
        created_at: ISO 8601, UTC.
        evidence: plain JSON values: target, judged boxes, changes.
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
        """Return what it teaches a detector: nothing where another one taught it, whose scores mean something else.

        Args:
            detector: first 8 hex digits of its fingerprint; empty where it is unknown.
        """
        return NO_OVERRIDES if self.is_aside(detector) else replace(self.overrides, revision=self.number)

    def is_aside(self, detector: str) -> bool:
        """Tell whether another detector taught it, so that it is not in force."""
        known = self.detector != "" != detector
        return known and self.detector != detector and self.overrides != NO_OVERRIDES

    def __str__(self) -> str:
        back = "" if self.stands_for == self.number else f", which goes back to {self.stands_for or 'the beginning'}"
        return f"revision {self.number} of project {self.project}{back}"


def history(connection: Connection | None, project: int) -> list[Revision]:
    """Return the revisions of a project, the first first."""
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
    """Put what was learned into force as the next revision.

    Args:
        database: where revisions are.
        project: id of the project.
        overrides: all of it, not only what is new.
        detector: first 8 hex digits of the fingerprint of the detector that it holds for.
        author: who applies it.
        evidence: plain JSON values.
        after: number of the revision that it was learned under; 0 for none.

    Raises:
        FeedbackError: another revision has been applied meanwhile, or the database cannot be used.
    """
    with database.writing() as connection:
        past = history(connection, project)
        if (past[-1].number if past else 0) != after:
            now = str(past[-1]) if past else f"no revision of project {project}"
            raise FeedbackError(f"{now} is in force meanwhile: look at what would change now, and apply that")
        before = past[-1].stands_for if past else 0
        revision = Revision(project, after + 1, after + 1, before, overrides, detector, author, _now(), evidence)
        _insert(connection, revision)
    return revision


def revert(database: Database, project: int, *, author: str) -> Revision:
    """Go back to what was in force before the current revision, as a revision of its own.

    Raises:
        FeedbackError: there is nothing to go back to, or the database cannot be used.
    """
    with database.reading() as connection:
        none = connection is None or not history(connection, project)
    if none:
        raise FeedbackError(f"project {project} has no revision to go back from")
    with database.writing() as connection:
        past = history(connection, project)
        by_number = {each.number: each for each in past}
        current = past[-1].stands_for
        if not current:
            raise FeedbackError(f"project {project} is back at the beginning already")
        target = by_number[current].before
        overrides = by_number[target].overrides if target else NO_OVERRIDES
        detector = by_number[target].detector if target else past[-1].detector
        # Going back from there leads on to what was before that one.
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
        raise FeedbackError(f"another revision of project {revision.project} is being applied: try again") from None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
