"""What is kept of an annotation: what people drew, what they were shown, and everything that the detector had found.

All figures are computed from these facts when somebody asks, so a change of labels or thresholds never makes them wrong.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgpack
from sqlalchemy import Connection, RowMapping, delete, select

from ml_backend.detections import Detections
from ml_backend.errors import FeedbackError
from ml_backend.feedback.database import annotations, projects, storable, tasks, upsert
from ml_backend.feedback.regions import LabelledBox

FACTS_VERSION = 1
PORTION = 500  # rows that are in memory at once
LONGEST_TITLE, LONGEST_CONFIG = 200, 10_000_000  # characters


@dataclass(frozen=True, slots=True)
class SeenPicture:
    """One picture of an annotated task.

    Attributes:
        key: of the task's data that holds it.
        item: its place in the list under that key; 0 where there is one picture.
        reference: what the task has there, to show it; empty where that is too long to keep (``data:`` URIs).
        detections: everything that the detector found.
    """

    key: str
    item: int
    reference: str
    detections: Detections


@dataclass(frozen=True, slots=True)
class Annotation:
    """One submitted annotation. Two people's annotations of one task are two.

    Attributes:
        id, project, task, annotator: ids of Label Studio; the last is None where nobody is named.
        updated_at: ISO 8601, as Label Studio gives it; a later one replaces an earlier one.
        skipped: whether the task was skipped, which says nothing about boxes.
        drawn: what was submitted.
        shown: the boxes of the prediction that the annotation began with; None where it began with none, and empty where that
            prediction was empty.
        version: model version of that prediction.
        audited: whether boxes were withheld (``PRELABEL_AUDIT_FRACTION``).
        lost: whether it began with a prediction that is not there any more, so that nobody knows what was shown.
        seconds: how long it took, where Label Studio says so.
        pictures: of the task; empty where they could not be had.
        odd: regions that are not plain rectangles, by kind.
        problem: why there are no pictures, else empty.
    """

    id: int
    project: int
    task: int
    annotator: int | None
    updated_at: str
    skipped: bool
    drawn: tuple[LabelledBox, ...] = ()
    shown: tuple[LabelledBox, ...] | None = None
    version: str = ""
    audited: bool = False
    lost: bool = False
    seconds: float | None = None
    pictures: tuple[SeenPicture, ...] = ()
    odd: dict[str, int] = field(default_factory=dict)
    problem: str = ""

    def to_row(self) -> dict[str, Any]:
        """Return the row of the table."""
        facts = {
            "version": FACTS_VERSION,
            "drawn": self.drawn,
            "shown": self.shown,
            "model_version": self.version,
            "audited": self.audited,
            "lost": self.lost,
            "seconds": self.seconds,
            "pictures": [(each.key, each.item, each.reference, each.detections.to_bytes()) for each in self.pictures],
            "odd": self.odd,
            "problem": self.problem,
        }
        return {
            "id": self.id,
            "project": self.project,
            "task": self.task,
            "annotator": self.annotator,
            "updated_at": self.updated_at,
            "skipped": self.skipped,
            "updated": _moment(self.updated_at),
            "whole": not self.problem,
            "facts": msgpack.packb(facts),
        }

    @classmethod
    def from_row(cls, row: RowMapping) -> "Annotation":
        """Read a row of the table.

        Raises:
            FeedbackError: another version of Prelabel has written it.
        """
        facts: dict[str, Any] = msgpack.unpackb(row["facts"])
        if facts.get("version") != FACTS_VERSION:
            raise FeedbackError(f"annotation {row['id']}: written by a version of Prelabel that this one cannot read")
        shown = facts["shown"]
        return cls(
            id=row["id"],
            project=row["project"],
            task=row["task"],
            annotator=row["annotator"],
            updated_at=row["updated_at"],
            skipped=row["skipped"],
            drawn=_boxes(facts["drawn"]),
            shown=None if shown is None else _boxes(shown),
            version=facts["model_version"],
            audited=facts["audited"],
            lost=facts["lost"],
            seconds=facts["seconds"],
            pictures=tuple(
                SeenPicture(key, item, reference, Detections.from_bytes(detections))
                for key, item, reference, detections in facts["pictures"]
            ),
            odd=facts["odd"],
            problem=facts["problem"],
        )


def _boxes(values: list[Any]) -> tuple[LabelledBox, ...]:
    return tuple(
        LabelledBox(control, item, label, tuple(edges), score) for control, item, label, edges, score in values
    )


@dataclass(frozen=True, slots=True)
class Project:
    """What is kept of a project of Label Studio."""

    id: int
    title: str
    label_config: str


def put_project(connection: Connection, project: Project) -> None:
    """Keep a project, in place of what was kept of it."""
    title = (
        project.title or connection.execute(select(projects.c.title).where(projects.c.id == project.id)).scalar() or ""
    )
    row = {"title": storable(title, LONGEST_TITLE), "label_config": storable(project.label_config, LONGEST_CONFIG)}
    upsert(connection, projects, {"id": project.id, **row})


def get_project(connection: Connection | None, number: int) -> Project:
    """Return a project.

    Raises:
        FeedbackError: nothing is known of it.
    """
    row = None
    if connection is not None:
        row = connection.execute(select(projects).where(projects.c.id == number)).mappings().first()
    if row is None:
        raise FeedbackError(
            f"no annotation of project {number} has come in: connect Prelabel to it in Label Studio, or run "
            f"`prelabel feedback sync --project {number}`"
        )
    return Project(row["id"], row["title"], row["label_config"])


def known_versions(connection: Connection, task_ids: list[int]) -> dict[int, str]:
    """Return, by annotation id, when the annotations of tasks that are kept whole were last updated."""
    query = select(annotations.c.id, annotations.c.updated_at).where(
        annotations.c.task.in_(task_ids), annotations.c.whole
    )
    return {row.id: row.updated_at for row in connection.execute(query)}


def put_task(
    connection: Connection, project: int, task: int, ids: list[int], changed: list[Annotation], read_at: float
) -> None:
    """Keep what a task's annotations are: those that changed, and none but ``ids``.

    Args:
        connection: a transaction.
        project: id of the project.
        task: id of the task.
        ids: of the annotations that it has.
        changed: those of them that changed.
        read_at: when that was so, in seconds since 1970; where it was read later already, nothing is kept.
    """
    known = connection.execute(select(tasks.c.read_at).where(tasks.c.id == task)).scalar()
    if known is not None and known > read_at:
        return
    upsert(connection, tasks, {"id": task, "read_at": read_at}, unless_newer="read_at")
    of_task = (annotations.c.project == project) & (annotations.c.task == task)
    connection.execute(delete(annotations).where(of_task & annotations.c.id.not_in(ids)))
    for annotation in changed:
        put_annotation(connection, annotation)


def put_annotation(connection: Connection, annotation: Annotation) -> None:
    """Keep one annotation, unless a later update of it is there already."""
    upsert(connection, annotations, annotation.to_row(), unless_newer="updated")


def _moment(text: str) -> float:
    """Return the seconds since 1970 of an ISO 8601 text, which has no fraction where that is zero; 0 where it is none."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def forget_annotation(connection: Connection, project: int, number: int) -> None:
    """Forget one annotation."""
    connection.execute(delete(annotations).where(annotations.c.id == number, annotations.c.project == project))


def tasks_of_annotations(connection: Connection, project: int, ids: list[int]) -> list[int]:
    """Return the tasks that annotations belong to, as far as they are known."""
    wanted = (annotations.c.project == project) & annotations.c.id.in_(ids)
    return [row.task for row in connection.execute(select(annotations.c.task).where(wanted).distinct())]


def tasks_of_project(connection: Connection, project: int) -> list[int]:
    """Return the tasks of which annotations are kept."""
    query = select(annotations.c.task).where(annotations.c.project == project).distinct()
    return [row.task for row in connection.execute(query)]


def annotations_of(connection: Connection | None, project: int) -> Iterator[Annotation]:
    """Yield the annotations of a project in the order of their ids, skipped ones too."""
    if connection is None:
        return
    query = select(annotations).where(annotations.c.project == project).order_by(annotations.c.id)
    with connection.execution_options(yield_per=PORTION).execute(query) as found:
        for row in found.mappings():
            yield Annotation.from_row(row)
