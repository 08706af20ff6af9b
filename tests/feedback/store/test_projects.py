"""Projects and their label configs, written to a database and read back."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ml_backend.errors import FeedbackError
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.projects import Project, config_at, configs_of, get_project, put_project


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Give a database of its own."""
    made = Database(f"sqlite:///{tmp_path / 'feedback.sqlite3'}")
    yield made
    made.close()


@pytest.mark.parametrize(
    ("updated_at", "config"),
    [
        ("2026-01-01T00:00:00Z", "first"),
        ("2026-01-01T00:00:09.9Z", "first"),
        ("2026-01-01T00:00:10Z", "second"),
        ("2026-01-02T00:00:00+00:00", "third"),
        ("no time", "first"),
    ],
)
def test_annotation_was_made_under_the_config_of_its_time(updated_at: str, config: str) -> None:
    """The first that is known reaches back for ever."""
    begin = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    configs = [(0.0, "first"), (begin + 10, "second"), (begin + 20, "third")]
    assert config_at(configs, updated_at) == config


def test_label_configs_of_a_project_are_remembered(database: Database) -> None:
    """Each from the time at which it was first seen; the same again is no other."""
    before = database.now()
    for config in ("<a/>", "<a/>", "<b/>", "<b/>", "<a/>"):
        with database.writing() as connection:
            put_project(connection, Project(3, "Kites", config))
    with database.reading() as connection:
        assert connection is not None
        configs = configs_of(connection, 3)
        assert configs_of(connection, 4) == []
    assert [config for _, config in configs] == ["<a/>", "<b/>", "<a/>"]
    assert configs[0][0] == 0
    assert before <= configs[1][0] < configs[2][0] <= database.now()


def test_project_is_kept_as_it_is_now(database: Database) -> None:
    """Title and label config, whatever is in them."""
    for project in (Project(3, "Kites", "<View/>"), Project(3, "<b>Größe 🪁</b>", "")):
        with database.writing() as connection:
            put_project(connection, project)
        with database.reading() as connection:
            assert get_project(connection, 3, database.place) == project
    with database.reading() as connection, pytest.raises(FeedbackError, match="project 4 has no annotations"):
        get_project(connection, 4, database.place)


def test_project_whose_title_cannot_be_encoded_is_kept(database: Database) -> None:
    """With what can be encoded of it; NUL, which Postgres does not take, is left out."""
    with database.writing() as connection:
        put_project(connection, Project(3, "Ki\0te \ud800", "<View/>"))
    with database.reading() as connection:
        assert get_project(connection, 3, database.place) == Project(3, "Kite \\ud800", "<View/>")
