"""The current detector. Annotations with detections of another one are outdated, and processed again a batch at a time."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, exists, func, insert, not_, or_, select

from ml_backend.feedback.store.database import now, upsert
from ml_backend.feedback.store.tables import annotations, detectors, events


@dataclass(frozen=True, slots=True)
class CurrentDetector:
    """The detector whose detections annotations are processed with.

    Attributes:
        fingerprint: its first 8 hex digits, as in model versions.
        name: of the detector.
    """

    fingerprint: str
    name: str


def put_detector(connection: Connection, detector: CurrentDetector) -> None:
    """Make a detector the current one."""
    if current_detector(connection) != detector:
        row = {"fingerprint": detector.fingerprint, "name": detector.name, "since": now(connection)}
        upsert(connection, detectors, row)


def current_detector(connection: Connection) -> CurrentDetector | None:
    """Return the detector of the service or ``prelabel feedback sync`` that started last; None before the first."""
    row = connection.execute(select(detectors).order_by(detectors.c.since.desc()).limit(1)).first()
    return None if row is None else CurrentDetector(row.fingerprint, row.name)


def count_outdated(connection: Connection, project: int | None = None) -> int:
    """Return how many annotations have detections of another detector than the current one."""
    detector = current_detector(connection)
    if detector is None:
        return 0
    whose = annotations.c.project == project if project is not None else annotations.c.id > 0
    return connection.execute(select(func.count()).where(_outdated(detector.fingerprint), whose)).scalar_one()


def enqueue_outdated(connection: Connection, fingerprint: str, limit: int) -> int:
    """Queue tasks with outdated annotations; returns how many.

    Args:
        connection: a transaction.
        fingerprint: of the detector of this process, 8 hex digits; nothing is queued if another one is current.
        limit: most tasks: events that people cause wait behind them.
    """
    detector = current_detector(connection)
    if detector is None or detector.fingerprint != fingerprint:
        return 0
    waits = exists().where(
        events.c.kind == "detections",
        events.c.project == annotations.c.project,
        events.c.object == annotations.c.task,
    )
    query = select(annotations.c.project, annotations.c.task).where(_outdated(fingerprint), not_(waits))
    at = now(connection)
    rows = [
        {
            "kind": "detections",
            "project": row.project,
            "object": row.task,
            "received_at": at,
            "due_at": at,
            "tries": 0,
            "problem": "",
        }
        for row in connection.execute(query.distinct().limit(limit))
    ]
    if rows:
        connection.execute(insert(events), rows)
    return len(rows)


def _outdated(fingerprint: str) -> ColumnElement[bool]:
    # Two ranges of the index: "not equal" would read the whole table.
    other = or_(annotations.c.detector < fingerprint, annotations.c.detector > fingerprint)
    return and_(other, not_(annotations.c.skipped))
