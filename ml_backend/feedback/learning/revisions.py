"""What was learned, as numbered revisions of a project: each says who, when and on what evidence, and none is ever changed.

This module alone is what predictions need of corrections.
"""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy import Connection, func, insert, select
from sqlalchemy.exc import IntegrityError

from ml_backend.errors import FeedbackError
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.tables import revisions
from ml_backend.postprocessing.overrides import NO_OVERRIDES, LabelOverrides
from ml_backend.settings import Settings

log = structlog.get_logger(__name__)

POLL_SECONDS = 2  # after which what another process has applied counts here too


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


def set_aside_sentence(revision: Revision) -> str:
    """Return that a revision is not in force since another detector taught it, and what to do."""
    return (
        f"{revision} was learned with another detector ({revision.detector}) and is set aside; annotations are judged again with this one, then "
        f"press Start Training or run `prelabel calibrate --project {revision.project} --apply`"
    )


class CurrentRevisions:
    """What is in force in each project, in memory: reading it costs nothing, and the database may go away.

    Args:
        settings: where the database is.
        fingerprint: of the detector that predicts. Scores of another one mean something else, so what that one taught is set aside.
    """

    def __init__(self, settings: Settings, fingerprint: str) -> None:
        self._database = Database(settings)
        self._detector = fingerprint[:8]
        self._by_project: dict[int, Revision] = {}
        self._away = False
        self._reading = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="revisions", daemon=True)

    def start(self) -> None:
        """Read the revisions, and go on doing so in a thread of its own."""
        self.refresh()
        self._thread.start()

    def close(self) -> None:
        """Stop reading."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        self._database.close()

    def overrides(self, project: str | None) -> LabelOverrides:
        """Return what is in force in a project, named as Label Studio does it: ``<id>`` or ``<id>.<time of creation>``."""
        number = (project or "").partition(".")[0]
        revision = self._by_project.get(int(number)) if number.isdecimal() and len(number) < 12 else None
        return revision.taught_to(self._detector) if revision else NO_OVERRIDES

    def set_aside(self) -> list[Revision]:
        """Return the current revisions that another detector taught, which are not in force."""
        return [revision for revision in list(self._by_project.values()) if revision.is_aside(self._detector)]

    def of(self, project: int) -> Revision | None:
        """Return the current revision of a project."""
        return self._by_project.get(project)

    def refresh(self) -> None:
        """Read the revisions that are new; where that fails, what was in force stays."""
        with self._reading:
            try:
                with self._database.reading() as connection:
                    newest = select(revisions.c.project, func.max(revisions.c.number)).group_by(revisions.c.project)
                    for project, number in connection.execute(newest).all() if connection is not None else []:
                        known = self._by_project.get(project)
                        if known is None or known.number != number:
                            revision = self._by_project[project] = history(connection, project)[-1]
                            if revision.is_aside(self._detector):
                                log.warning(set_aside_sentence(revision), project=project)
                self._away = False
            except Exception as error:  # whatever it is, predictions go on
                if not self._away:
                    log.warning(
                        "what corrections have taught cannot be read; what is known stays in force", cause=str(error)
                    )
                self._away = True

    def _poll(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            self.refresh()
