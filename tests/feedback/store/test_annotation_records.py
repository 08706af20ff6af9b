"""Annotation records, written to a database and read back."""

from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

import msgpack
import numpy as np
import pytest
from corrections import BOX, annotation, box, chosen, classified, seen
from hypothesis import given
from hypothesis import strategies as st
from samples import detections_of
from sqlalchemy import RowMapping, select

from ml_backend.errors import FeedbackError
from ml_backend.feedback.store.annotation_records import (
    PORTION,
    AnnotatedImage,
    Annotation,
    Known,
    annotations_of,
    delete_annotation,
    known_annotations,
    put_annotation,
    put_task,
    tasks_of_annotations,
    tasks_of_project,
)
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.projects import get_project
from ml_backend.feedback.store.tables import annotations
from ml_backend.label_studio.labelled_boxes import LabelledBox
from ml_backend.label_studio.labelled_choices import LabelledChoices

EVER = 1e12  # seconds since 1970: later than anything that is kept


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Give a database of its own."""
    made = Database(f"sqlite:///{tmp_path / 'feedback.sqlite3'}")
    yield made
    made.close()


def keep(database: Database, *kept: Annotation) -> None:
    """Keep annotations."""
    with database.writing() as connection:
        for each in kept:
            put_annotation(connection, each)


def kept_in(database: Database, project: int = 3) -> list[Annotation]:
    """Return what is kept of a project."""
    with database.reading() as connection:
        return list(annotations_of(connection, project))


def plain(of: Annotation) -> dict[str, Any]:
    """Return all that is in an annotation, as values that can be compared."""
    images = [(each.key, each.item, each.reference, each.detections.to_bytes()) for each in of.images]
    return {each.name: getattr(of, each.name) for each in fields(of)} | {"images": images}


FOUND = detections_of(("Kite", 0.1, BOX), ("Größe", 1.0, (-0.5, 0, 2, 1)), width=1, height=100_000)
ANNOTATIONS = {
    "nothing": annotation(),
    "skipped": annotation(skipped=True, annotator=None, updated_at=""),
    "no boxes, and none shown": annotation(shown=None),
    "an empty prediction": annotation(shown=()),
    "boxes": annotation(
        box("Kite"), box("", (0.1, 1 / 3, 0.7, 1.0), item=4), shown=(LabelledBox("a", 0, "b", BOX, 0.3),)
    ),
    "choices": classified("Dog Größe", "Animal / Dog", choices=(chosen("a", "b", item=3), chosen(control="tree"))),
    "choices, and no prediction": classified(None, "Dog"),
    "choices, and an empty prediction": classified("", ""),
    "images": annotation(images=seen(FOUND, detections_of())),
    "colours of boxes": annotation(
        images=seen(replace(FOUND, colours=np.array([[200, 128, 90, 7, 0, 1], [0] * 6], np.uint8)))
    ),
    "texts": annotation(box("<b>Größe 🪁\0"), version="demo@1234.5678", problem="task 1: \u2028"),
    "the rest": annotation(audited=True, seconds=1e-9, odd={"rotated": 2, "": 0}, annotator=2**62, number=2**62),
}


@pytest.mark.parametrize("of", ANNOTATIONS.values(), ids=ANNOTATIONS.keys())
def test_annotation_is_read_back_as_it_was_kept(database: Database, of: Annotation) -> None:
    """Numbers to the last bit, and nobody's prediction apart from an empty one."""
    keep(database, of)
    (read,) = kept_in(database)
    assert plain(read) == plain(of)
    assert {type(each) for each in (*read.drawn, *(read.shown or ()))} <= {LabelledBox}
    assert {type(each) for each in (*read.choices, *(read.shown_choices or ()))} <= {LabelledChoices}


_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
_share = st.floats(0, 1)
_edges = st.tuples(_share, _share, _share, _share)
_box = st.builds(LabelledBox, _text, st.integers(0, 2**31), _text, _edges, _share, _text)
_boxes = st.lists(_box, max_size=3).map(tuple)
_choices = st.lists(
    st.builds(LabelledChoices, _text, st.integers(0, 2**31), st.lists(_text, max_size=3).map(tuple), _share), max_size=3
).map(tuple)
_annotation = st.builds(
    Annotation,
    id=st.integers(1, 2**63 - 1),
    project=st.integers(1, 2**31),
    task=st.integers(1, 2**63 - 1),
    annotator=st.none() | st.integers(1, 2**31),
    updated_at=_text,
    skipped=st.booleans(),
    drawn=_boxes,
    shown=st.none() | _boxes,
    choices=_choices,
    shown_choices=st.none() | _choices,
    version=_text,
    drawable=st.dictionaries(_text, st.lists(_text, max_size=2).map(tuple), max_size=2),
    accepted=st.booleans(),
    audited=st.booleans(),
    detector=_text,
    seconds=st.none() | st.floats(0, 1e300),
    images=st.lists(st.builds(AnnotatedImage, _text, st.integers(0, 9), _text, st.just(FOUND)), max_size=2).map(tuple),
    odd=st.dictionaries(_text, st.integers(0, 2**31), max_size=2),
    problem=_text,
)


@given(_annotation)
def test_rows_hold_all_of_an_annotation(of: Annotation) -> None:
    """Whatever it says."""
    assert plain(Annotation.from_row(cast("RowMapping", of.to_row()))) == plain(of)


def test_records_without_choices_are_read() -> None:
    """Those of versions before choices; keys that this version does not know are passed over, as those versions do with choices."""
    row = annotation(box("Kite"), shown=(box("Kite"),)).to_row()
    facts = msgpack.unpackb(row["facts"]) | {"of a later version": [1]}
    del facts["choices"], facts["shown_choices"]
    read = Annotation.from_row(cast("RowMapping", row | {"facts": msgpack.packb(facts)}))
    assert (read.drawn, read.choices, read.shown_choices) == ((box("Kite"),), (), None)


@pytest.mark.parametrize("facts", [{"version": 1}, {"version": 3}, {"version": "2"}, {}])
def test_facts_of_another_version_are_refused_by_name(facts: dict[str, Any]) -> None:
    """Rather than read wrongly."""
    row = annotation(number=17).to_row() | {"facts": msgpack.packb(facts)}
    with pytest.raises(
        FeedbackError, match="annotation 17: written by a version of Prelabel that this one cannot read"
    ):
        Annotation.from_row(cast("RowMapping", row))


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        ("2026-01-01T10:00:00.000001Z", "2026-01-01T10:00:00.000002Z", "second"),
        ("2026-01-01T10:00:00.000002Z", "2026-01-01T10:00:00.000001Z", "first"),
        ("2026-01-01T10:00:00.000001Z", "2026-01-01T10:00:00.000001Z", "second"),
        ("", "2026-01-01T10:00:00.000001Z", "second"),
        ("2026-01-01T10:00:00.000001Z", "", "first"),
        ("2026-01-01T10:00:00Z", "2026-01-01T10:00:00.500000Z", "second"),
        ("2026-01-01T12:00:00.000000+02:00", "2026-01-01T11:00:00.000000Z", "second"),
    ],
    ids=["later", "earlier", "the same", "one without a time", "none any more", "half a second later", "other zone"],
)
def test_later_update_stays(database: Database, first: str, second: str, kept: str) -> None:
    """Whichever comes last; the same one again is kept as it is now."""
    keep(database, annotation(updated_at=first, version="first"))
    keep(database, annotation(updated_at=second, version="second"))
    assert [each.version for each in kept_in(database)] == [kept]


def task_of(
    database: Database, ids: list[int], *changed: Annotation, task: int = 7, read_at: float = EVER
) -> list[int]:
    """Keep what a task of project 3 has; gives the ids of all that is kept there then."""
    with database.writing() as connection:
        put_task(connection, 3, task, ids, list(changed), read_at)
    return [each.id for each in kept_in(database)]


@pytest.mark.parametrize(
    ("ids", "changed", "left"),
    [
        ([1, 2], [], [1, 2, 3]),
        ([1], [], [1, 3]),
        ([], [], [3]),
        ([2, 4], [annotation(number=4, task=7)], [2, 3, 4]),
        ([1, 2, 99], [], [1, 2, 3]),
    ],
    ids=[
        "as it was",
        "one deleted",
        "all deleted",
        "one for another",
        "one not processed",
    ],
)
def test_what_a_task_has_no_more_is_forgotten(
    database: Database, ids: list[int], changed: list[Annotation], left: list[int]
) -> None:
    """Its own alone; annotation 3 is of another task."""
    keep(database, *(annotation(number=number, task=7) for number in (1, 2)), annotation(number=3, task=8))
    assert task_of(database, ids, *changed) == left


def test_task_that_was_read_before_changes_nothing(database: Database) -> None:
    """Neither what is there is forgotten, nor older news kept; what was read at the same time or later counts."""
    assert task_of(database, [1], annotation(number=1, task=7), read_at=20) == [1]
    assert task_of(database, [2], annotation(number=2, task=7), read_at=10) == [1]
    assert task_of(database, [], task=8, read_at=10) == [1]
    assert task_of(database, [2], annotation(number=2, task=7), read_at=20) == [2]
    assert task_of(database, [], read_at=30) == []


def test_task_of_another_project_is_left_alone(database: Database) -> None:
    """Even one of the same number."""
    keep(database, annotation(number=1, task=7, project=4))
    assert task_of(database, []) == []
    assert [each.id for each in kept_in(database, 4)] == [1]


def test_annotation_is_forgotten_by_its_project(database: Database) -> None:
    """An event about another project's annotation does nothing; one about none neither."""
    keep(database, annotation(number=1))
    for project, left in ((4, 1), (3, 0), (3, 0)):
        with database.writing() as connection:
            delete_annotation(connection, project, 1)
        assert len(kept_in(database)) == left


def test_tasks_of_annotations_are_told_once(database: Database) -> None:
    """Those that are known, in the project that is asked about."""
    keep(database, *(annotation(number=number, task=task) for number, task in ((1, 7), (2, 7), (3, 8))))
    keep(database, annotation(number=4, task=9, project=4))
    with database.reading() as connection:
        assert connection is not None
        assert sorted(tasks_of_annotations(connection, 3, [1, 2, 3, 4, 99])) == [7, 8]
        assert tasks_of_annotations(connection, 3, []) == []
        assert sorted(tasks_of_project(connection, 3)) == [7, 8]
        assert tasks_of_project(connection, 99) == []


def test_annotations_that_are_kept_whole_are_known(database: Database) -> None:
    """One without images is not; one with detections of another detector comes with its record."""
    outdated = annotation(number=5, task=7, updated_at="e", detector="before")
    keep(
        database,
        annotation(number=1, task=7, updated_at="a", detector="now"),
        annotation(number=2, task=7, updated_at="b", problem="gone", detector="now"),
        annotation(number=3, task=7, updated_at="c", skipped=True),
        annotation(number=4, task=8, updated_at="d", detector="now"),
        outdated,
    )
    with database.reading() as connection:
        assert connection is not None
        assert known_annotations(connection, [7], "now") == {1: Known("a"), 3: Known("c"), 5: Known("e", outdated)}
        assert known_annotations(connection, [], "now") == {}


def test_annotations_come_in_the_order_of_their_ids(database: Database) -> None:
    """More than are in memory at once, and of one project."""
    numbers = list(range(PORTION + 2, 0, -1))
    keep(database, *(annotation(number=number, project=3 + (number == 1)) for number in numbers))
    assert [each.id for each in kept_in(database)] == sorted(numbers)[1:]
    assert [each.id for each in kept_in(database, 4)] == [1]


def test_database_that_was_never_written_knows_nothing(database: Database, tmp_path: Path) -> None:
    """And reading makes no file."""
    assert kept_in(database) == []
    with database.reading() as connection, pytest.raises(FeedbackError, match="prelabel feedback sync --project 3"):
        get_project(connection, 3, database.place)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_kept_of_a_transaction_that_fails(database: Database) -> None:
    """Neither the annotation before the failure nor the one after it."""
    keep(database, annotation(number=1))
    broken = annotation(number=3, seconds=cast("float", object()))
    with pytest.raises(TypeError):
        keep(database, annotation(number=2), broken, annotation(number=4))
    assert [each.id for each in kept_in(database)] == [1]


def test_times_are_columns_that_can_be_asked_for(database: Database) -> None:
    """Project, task and update are not hidden in the facts."""
    keep(database, annotation(number=5, task=7, skipped=True, annotator=None))
    with database.reading() as connection:
        assert connection is not None
        row = connection.execute(select(annotations)).mappings().one()
    assert {name: row[name] for name in ("id", "project", "task", "annotator", "updated_at", "skipped")} == {
        "id": 5,
        "project": 3,
        "task": 7,
        "annotator": None,
        "updated_at": "2026-01-01T00:00:00Z",
        "skipped": True,
    }


@pytest.mark.parametrize(
    ("most", "ids"),
    [(None, [1, 2, 3, 4]), (2, [3, 4]), (4, [1, 2, 3, 4]), (9, [1, 2, 3, 4])],
    ids=["all", "some", "just all", "more than there are"],
)
def test_newest_annotations_can_be_read_alone(database: Database, most: int | None, ids: list[int]) -> None:
    """In their order, and without those of other projects."""
    keep(database, *(annotation(number=n) for n in range(1, 5)), annotation(number=5, project=4))
    with database.reading() as connection:
        assert [each.id for each in annotations_of(connection, 3, most)] == ids
