"""The revisions in force, as a service reads them."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from revision_steps import OURS, THEIRS, do, learned_at

from ml_backend.feedback.learning.revisions import CurrentRevisions
from ml_backend.feedback.store.database import Database
from ml_backend.postprocessing.overrides import NO_OVERRIDES, LabelOverrides


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Give a database of its own."""
    made = Database(f"sqlite:///{tmp_path / 'feedback.sqlite3'}")
    yield made
    made.close()


@pytest.fixture
def current(database: Database) -> Iterator[CurrentRevisions]:
    """Give what is in force, as a service reads it, without its thread."""
    made = CurrentRevisions(database, OURS + "ff")
    yield made
    made.close()


@pytest.mark.parametrize(
    ("project", "known"),
    [
        ("3", True),
        ("3.1761", True),
        ("4", False),
        ("x", False),
        (None, False),
    ],
)
def test_projects_are_named_as_label_studio_does(
    database: Database, current: CurrentRevisions, project: str | None, known: bool
) -> None:
    """By id, or by id and time of creation; of any other name nothing was learned."""
    do(database, "1")
    current.refresh()
    assert current.overrides(project) == (learned_at(0.1, revision=1) if known else NO_OVERRIDES)


def test_what_another_process_applies_is_in_force_once_it_was_read(
    database: Database, current: CurrentRevisions
) -> None:
    """And what it goes back from is not."""
    current.refresh()
    assert current.overrides("3") == NO_OVERRIDES
    assert current.of(3) is None
    do(database, "12")
    assert current.overrides("3") == NO_OVERRIDES
    for step, force, revision in (("", 0.2, 2), ("r", 0.1, 3)):
        do(database, step)
        current.refresh()
        assert current.overrides("3.5") == learned_at(force, revision)
    do(database, "r")
    current.refresh()
    assert current.overrides("3") == LabelOverrides(revision=4)
    assert str(current.of(3)) == "revision 4 of project 3, which reverts to the state before any"


@pytest.mark.parametrize("damage", ["taken away", "emptied"])
def test_what_was_in_force_stays_when_the_database_goes(
    database: Database, current: CurrentRevisions, tmp_path: Path, damage: str
) -> None:
    """Predictions do not change because somebody tidies up."""
    do(database, "1")
    current.refresh()
    database.close()
    if damage == "taken away":
        for file in tmp_path.iterdir():
            file.unlink()
    else:
        with closing(sqlite3.connect(tmp_path / "feedback.sqlite3")) as connection:
            connection.execute("DROP TABLE prelabel_revisions")
    for _ in range(2):
        current.refresh()
        assert current.overrides("3") == learned_at(0.1, revision=1)


def test_service_starts_on_what_is_no_database(database: Database, tmp_path: Path) -> None:
    """Nothing learned is in force, and predictions go on."""
    (tmp_path / "feedback.sqlite3").write_bytes(b"these are no pages of a database " * 100)
    running = CurrentRevisions(database, OURS + "ff")
    running.start()
    assert running.overrides("3") == NO_OVERRIDES
    running.close()


@pytest.mark.parametrize(
    ("taught_by", "steps", "overrides", "aside"),
    [
        pytest.param(OURS, "1", learned_at(0.1, 1), [], id="this detector"),
        pytest.param("", "1", learned_at(0.1, 1), [], id="an older version did not say which"),
        pytest.param(THEIRS, "1", NO_OVERRIDES, [1], id="another detector"),
        pytest.param(THEIRS, "1r", LabelOverrides(revision=2), [], id="another detector, and taken back"),
        pytest.param(THEIRS, "12r", NO_OVERRIDES, [3], id="another detector, back to what it taught first"),
    ],
)
def test_teaching_of_another_detector_is_set_aside(
    database: Database,
    current: CurrentRevisions,
    taught_by: str,
    steps: str,
    overrides: LabelOverrides,
    aside: list[int],
) -> None:
    """Its scores mean something else."""
    do(database, steps, detector=taught_by)
    current.refresh()
    assert current.overrides("3") == overrides
    assert [each.number for each in current.set_aside()] == aside


def test_service_reads_what_is_in_force_when_it_starts(database: Database) -> None:
    """Before the first request; and ends when it is told to, or was never started."""
    do(database, "1")
    running = CurrentRevisions(database, OURS + "ff")
    running.start()
    assert running.overrides("3") == learned_at(0.1, revision=1)
    running.close()
    CurrentRevisions(database, OURS + "ff").close()


def test_nothing_was_learned_where_there_is_no_database(current: CurrentRevisions, tmp_path: Path) -> None:
    """And asking makes none."""
    current.refresh()
    assert current.overrides("3") == NO_OVERRIDES
    assert list(tmp_path.iterdir()) == []
