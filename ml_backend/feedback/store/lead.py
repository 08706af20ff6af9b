"""The lead: of the services that share a database, one does the work in the background that must not be done twice at once."""

import threading

from sqlalchemy import Connection, select
from sqlalchemy.exc import SQLAlchemyError

from ml_backend.feedback.store.database import Database

_LOCK = 0x70726C6D  # an arbitrary number, next to that of the schema


class Lead:
    """The lead of one service: an advisory lock of Postgres, which ends with its connection, so a killed service loses it at once.

    On SQLite every process leads. Where there are several, they repeat each other's work, with the same records.

    Args:
        database: of the corrections.

    Attributes:
        is_held: whether this service led when that was last looked at.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Connection | None = None
        self._closed = False
        self._turn = threading.Lock()
        self.is_held = not database.is_shared

    def hold(self) -> bool:
        """Keep the lead, or take it if nobody has it; returns whether this service leads now.

        Raises:
            FeedbackError: the database cannot be used.
        """
        if not self._database.is_shared:
            return True
        with self._turn:
            if self._closed:
                return False
            if self._connection is not None and not _answers(self._connection):
                self._release()
            if self._connection is None:
                self._connection = self._database.take_lock(_LOCK)
            self.is_held = self._connection is not None
            return self.is_held

    def close(self) -> None:
        """Leave the lead to another service."""
        with self._turn:
            self._closed = True
            self._release()

    def _release(self) -> None:
        self.is_held = not self._database.is_shared
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None


def _answers(connection: Connection) -> bool:
    try:
        connection.execute(select(1))
    except SQLAlchemyError:
        return False
    return True
