"""What is kept of an annotation: what people drew, what they were shown, and everything that the detector had found.

All figures are computed from these facts when somebody asks, so a change of labels or thresholds never makes them wrong.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Self

import msgpack
from sqlalchemy import Connection, RowMapping, delete, not_, select, update

from ml_backend.detections import Detections
from ml_backend.errors import FeedbackError
from ml_backend.feedback.store.database import seconds_of, upsert
from ml_backend.feedback.store.tables import annotations, tasks
from ml_backend.label_studio.labelled_boxes import LabelledBox

FACTS_VERSION = 2
PORTION = 500  # rows that are in memory at once


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
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
        drawable: labels that the label config had then, by ``from_name`` of their control.
        shown: the boxes of the prediction that the annotation began with; None where it began with none, and empty where that
            prediction was empty.
        version: model version of that prediction.
        accepted: whether the prediction was turned into an annotation in bulk, so that nobody looked at it.
        audited: whether boxes were withheld (``PRELABEL_HOLDOUT_FRACTION``).
        lost: whether it began with a prediction that is not there any more, so that nobody knows what was shown.
        seconds: how long it took, where Label Studio says so.
        detector: first 8 hex digits of the fingerprint of the detector that looked at ``pictures``.
        images: of the task; empty where they could not be had.
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
    drawable: dict[str, tuple[str, ...]] = field(default_factory=dict)
    shown: tuple[LabelledBox, ...] | None = None
    version: str = ""
    accepted: bool = False
    audited: bool = False
    lost: bool = False
    seconds: float | None = None
    detector: str = ""
    images: tuple[AnnotatedImage, ...] = ()
    odd: dict[str, int] = field(default_factory=dict)
    problem: str = ""

    def with_detections(self, detector: str, images: tuple[AnnotatedImage, ...], problem: str) -> Self:
        """Return the annotation with what a detector found in the pictures of its task."""
        return replace(self, detector=detector, images=images, problem=problem)

    def to_row(self) -> dict[str, Any]:
        """Return the row of the table."""
        facts = {
            "version": FACTS_VERSION,
            "drawn": self.drawn,
            "drawable": self.drawable,
            "shown": self.shown,
            "model_version": self.version,
            "accepted": self.accepted,
            "audited": self.audited,
            "lost": self.lost,
            "seconds": self.seconds,
            "pictures": [(each.key, each.item, each.reference, each.detections.to_bytes()) for each in self.images],
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
            "updated": seconds_of(self.updated_at),
            "whole": not self.problem,
            "detector": self.detector,
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
            drawable={control: tuple(labels) for control, labels in facts["drawable"].items()},
            shown=None if shown is None else _boxes(shown),
            version=facts["model_version"],
            accepted=facts["accepted"],
            audited=facts["audited"],
            lost=facts["lost"],
            seconds=facts["seconds"],
            detector=row["detector"],
            images=tuple(
                AnnotatedImage(key, item, reference, Detections.from_bytes(detections))
                for key, item, reference, detections in facts["pictures"]
            ),
            odd=facts["odd"],
            problem=facts["problem"],
        )


def _boxes(values: list[Any]) -> tuple[LabelledBox, ...]:
    return tuple(
        LabelledBox(control, item, label, tuple(edges), score, region)
        for control, item, label, edges, score, region in values
    )


@dataclass(frozen=True, slots=True)
class Known:
    """An annotation that is kept whole.

    Attributes:
        updated_at: as in its facts.
        outdated: the annotation, where another detector looked at its pictures; else None.
    """

    updated_at: str
    outdated: Annotation | None = None


def known_annotations(connection: Connection, task_ids: list[int], detector: str) -> dict[int, Known]:
    """Return the annotations of tasks that are kept whole, by id.

    Args:
        connection: to read with.
        task_ids: the tasks.
        detector: fingerprint of the detector that looks at pictures now, 8 hex.
    """
    kept = (annotations.c.task.in_(task_ids)) & annotations.c.whole
    is_outdated = (annotations.c.detector != detector) & not_(annotations.c.skipped)
    current = connection.execute(select(annotations.c.id, annotations.c.updated_at).where(kept, not_(is_outdated)))
    outdated = connection.execute(select(annotations).where(kept, is_outdated)).mappings()
    return {row.id: Known(row.updated_at) for row in current} | {
        row["id"]: Known(row["updated_at"], Annotation.from_row(row)) for row in outdated
    }


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


def pass_over_broken(connection: Connection, project: int, task: int, detector: str) -> None:
    """Let annotations of a task without pictures count as looked at by a detector: there is nothing to look at."""
    of_task = (annotations.c.project == project) & (annotations.c.task == task) & not_(annotations.c.whole)
    connection.execute(update(annotations).where(of_task).values(detector=detector))


def put_annotation(connection: Connection, annotation: Annotation) -> None:
    """Keep one annotation, unless a later update of it is there already."""
    upsert(connection, annotations, annotation.to_row(), unless_newer="updated")


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
