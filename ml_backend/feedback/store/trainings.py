"""The last training of each project: time, author and outcome."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import Connection, RowMapping, select

from ml_backend.feedback.store.database import Database, storable, upsert
from ml_backend.feedback.store.tables import projects, trainings

MAX_MESSAGE_LENGTH, MAX_AUTHOR_LENGTH = 2000, 200  # characters
SHOWN = 20

Result = Literal["applied", "unchanged", "suggested", "reverted", "failed"]


@dataclass(frozen=True, slots=True)
class Training:
    """One training.

    Attributes:
        project: id of the project.
        author: who asked for it.
        outcome: applied, unchanged, suggested, reverted or failed.
        revision: number of the revision in force afterwards; 0 for none.
        message: the changes, or the reason for none.
        at: ISO 8601, UTC.
    """

    project: int
    author: str
    outcome: Result
    revision: int
    message: str
    at: str = ""

    def to_json(self) -> dict[str, str | int]:
        """Return it as plain JSON values."""
        return asdict(self)


def put_training(database: Database, training: Training) -> None:
    """Record the last training of a project, if the project is known: anybody can ask to train any number.

    Raises:
        FeedbackError: the database cannot be used.
    """
    row = asdict(training) | {
        "author": storable(training.author, MAX_AUTHOR_LENGTH),
        "message": storable(training.message, MAX_MESSAGE_LENGTH),
        "at": training.at or datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with database.writing() as connection:
        if connection.execute(select(projects.c.id).where(projects.c.id == training.project)).first():
            upsert(connection, trainings, row)


def last_trainings(connection: Connection, most: int = SHOWN) -> list[Training]:
    """Return the last training of each project, the latest first."""
    query = select(trainings).order_by(trainings.c.at.desc(), trainings.c.project).limit(most)
    return [_read(row) for row in connection.execute(query).mappings()]


def last_training(connection: Connection, project: int) -> Training | None:
    """Return the last training of a project; None before the first."""
    row = connection.execute(select(trainings).where(trainings.c.project == project)).mappings().first()
    return None if row is None else _read(row)


def _read(row: RowMapping) -> Training:
    return Training(row["project"], row["author"], row["outcome"], row["revision"], row["message"], row["at"])
