"""Annotation records: the boxes and choices that people submitted, those that they were shown, and all detections of their images.

Figures are computed from records on demand, so a change of labels or thresholds never makes stored figures wrong.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Self

import msgpack
from sqlalchemy import Connection, RowMapping, delete, func, not_, select, update

from ml_backend.detections import Detections
from ml_backend.errors import FeedbackError
from ml_backend.feedback.store.database import seconds_of, upsert
from ml_backend.feedback.store.tables import annotations, tasks
from ml_backend.label_studio.labelled_boxes import LabelledBox
from ml_backend.label_studio.labelled_choices import LabelledChoices

FACTS_VERSION = 2  # that of records without choices, too: their keys were added to it
PORTION = 500  # rows in memory at once


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """One image of an annotated task.

    Attributes:
        key: the key of the task's data that holds the image.
        item: its index in the list under that key; 0 without a list.
        reference: the image reference in the task, to show it; empty for long ones (``data:`` URIs).
        detections: all detections above the floor.
    """

    key: str
    item: int
    reference: str
    detections: Detections


@dataclass(frozen=True, slots=True)
class Annotation:
    """The record of one submitted annotation. A task that two people annotated has two.

    Attributes:
        id, project, task, annotator: ids of Label Studio; the annotator may be None.
        updated_at: ISO 8601, as Label Studio gives it; a later update replaces an earlier one.
        skipped: whether the task was skipped; its boxes then count nowhere.
        drawn: the submitted boxes.
        drawable: labels of the label config at that time, by ``from_name`` of their control; none for controls that classify images.
        shown: boxes of the prediction that the annotation began with; None without a prediction, empty for an empty one.
        choices: the submitted choices.
        shown_choices: choices of that prediction, or those that were withheld (``audited``); None without a prediction, and in records of
            versions that did not serve choices.
        version: model version of that prediction.
        accepted: whether the prediction was turned into an annotation in bulk, so that nobody saw it.
        audited: whether boxes and choices were withheld (``PRELABEL_HOLDOUT_FRACTION``).
        lost: whether the prediction that it began with has been deleted, so that the shown boxes are unknown.
        seconds: time that it took; None if unknown.
        detector: first 8 hex digits of the fingerprint of the detector that made the detections of ``images``.
        images: of the task, as far as the detector ran on them; empty if they could not be read.
        odd: irregular regions, by kind.
        problem: why there are no images, else empty.
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
    choices: tuple[LabelledChoices, ...] = ()
    shown_choices: tuple[LabelledChoices, ...] | None = None
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
        """Return the annotation with the detections of another detector, or with the reason why there are none."""
        return replace(self, detector=detector, images=images, problem=problem)

    def to_row(self) -> dict[str, Any]:
        """Return the row of the table."""
        facts = {
            "version": FACTS_VERSION,
            "drawn": self.drawn,
            "drawable": self.drawable,
            "shown": self.shown,
            "choices": self.choices,
            "shown_choices": self.shown_choices,
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
            FeedbackError: its format is of another version of Prelabel.
        """
        facts: dict[str, Any] = msgpack.unpackb(row["facts"])
        if facts.get("version") != FACTS_VERSION:
            raise FeedbackError(f"annotation {row['id']}: written by a version of Prelabel that this one cannot read")
        shown, shown_choices = facts["shown"], facts.get("shown_choices")
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
            choices=_choices(facts.get("choices", ())),
            shown_choices=None if shown_choices is None else _choices(shown_choices),
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


def _choices(values: Iterable[Any]) -> tuple[LabelledChoices, ...]:
    return tuple(LabelledChoices(control, item, tuple(texts), score) for control, item, texts, score in values)


def _boxes(values: list[Any]) -> tuple[LabelledBox, ...]:
    return tuple(
        LabelledBox(control, item, label, tuple(edges), score, region)
        for control, item, label, edges, score, region in values
    )


@dataclass(frozen=True, slots=True)
class Known:
    """A complete record in the database.

    Attributes:
        updated_at: as in the record.
        outdated: the record, if its detections are of another detector; else None.
    """

    updated_at: str
    outdated: Annotation | None = None


def known_annotations(connection: Connection, task_ids: list[int], detector: str) -> dict[int, Known]:
    """Return the complete records of some tasks, by annotation id.

    Args:
        connection: to read with.
        task_ids: the tasks.
        detector: fingerprint of the current detector, 8 hex digits.
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
    """Write the changed annotations of a task, and delete those that it does not have any more.

    Args:
        connection: a transaction.
        project: id of the project.
        task: id of the task.
        ids: of all annotations that the task has.
        changed: records of those that changed.
        read_at: when the task was read, in seconds since 1970; an earlier reading than the last one changes nothing.
    """
    known = connection.execute(select(tasks.c.read_at).where(tasks.c.id == task)).scalar()
    if known is not None and known > read_at:
        return
    upsert(connection, tasks, {"id": task, "read_at": read_at}, unless_newer="read_at")
    of_task = (annotations.c.project == project) & (annotations.c.task == task)
    connection.execute(delete(annotations).where(of_task & annotations.c.id.not_in(ids)))
    for annotation in changed:
        put_annotation(connection, annotation)


def skip_incomplete(connection: Connection, project: int, task: int, detector: str) -> None:
    """Mark annotations without images as of a detector, so that they are not processed again."""
    of_task = (annotations.c.project == project) & (annotations.c.task == task) & not_(annotations.c.whole)
    connection.execute(update(annotations).where(of_task).values(detector=detector))


def put_annotation(connection: Connection, annotation: Annotation) -> None:
    """Write one annotation, unless the database has a later update of it."""
    upsert(connection, annotations, annotation.to_row(), unless_newer="updated")


def delete_annotation(connection: Connection, project: int, number: int) -> None:
    """Delete one annotation."""
    connection.execute(delete(annotations).where(annotations.c.id == number, annotations.c.project == project))


def tasks_of_annotations(connection: Connection, project: int, ids: list[int]) -> list[int]:
    """Return the tasks of annotations, as far as the database has them."""
    wanted = (annotations.c.project == project) & annotations.c.id.in_(ids)
    return [row.task for row in connection.execute(select(annotations.c.task).where(wanted).distinct())]


def tasks_of_project(connection: Connection, project: int) -> list[int]:
    """Return the tasks of a project that have annotations in the database."""
    query = select(annotations.c.task).where(annotations.c.project == project).distinct()
    return [row.task for row in connection.execute(query)]


def count_annotations(connection: Connection) -> dict[int, int]:
    """Return the number of annotations by project, including skipped ones. It reads an index only."""
    query = select(annotations.c.project, func.count()).group_by(annotations.c.project)
    return {int(project): int(count) for project, count in connection.execute(query)}


def annotations_of(connection: Connection | None, project: int, most: int | None = None) -> Iterator[Annotation]:
    """Yield the annotations of a project by ascending id, including skipped ones.

    Args:
        connection: to read with; None for a database without tables.
        project: id of the project.
        most: number of annotations, of which the newest are taken; None for all.
    """
    if connection is None:
        return
    query = select(annotations).where(annotations.c.project == project).order_by(annotations.c.id)
    if most is not None:
        ids = select(annotations.c.id).where(annotations.c.project == project).order_by(annotations.c.id.desc())
        oldest = connection.execute(ids.offset(most - 1).limit(1)).scalar()
        query = query.where(annotations.c.id >= (oldest or 0))
    with connection.execution_options(yield_per=PORTION).execute(query) as found:
        for row in found.mappings():
            yield Annotation.from_row(row)
