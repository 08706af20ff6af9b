"""Databases of older versions are brought up to date, and those of newer ones refused."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import msgpack
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from corrections import BOX, MOVED, seen
from samples import BALLOON_CONFIG, detections_of
from sqlalchemy import text

from ml_backend.errors import FeedbackError
from ml_backend.feedback.store import schema
from ml_backend.feedback.store.annotation_records import Annotation, annotations_of, known_annotations
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.projects import configs_of
from ml_backend.feedback.store.revisions import history
from ml_backend.feedback.store.tables import metadata

VERSION = "demo@0123abcd.fedcba"
KITE, BALLOON = ("label", 0, "Kite", BOX, 0.5), ("label", 0, "Balloon", BOX, 0.0)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Give an empty database, of both kinds."""
    with closing(Database(database_url)) as opened:
        yield opened


def facts(drawn: Sequence[Any], shown: Sequence[Any] | None, **parts: Any) -> bytes:
    """Return the facts of an annotation as version 1 kept them."""
    (image,) = seen(detections_of(("Kite", 0.9, BOX)))
    values = {
        "version": 1,
        "drawn": drawn,
        "shown": shown,
        "model_version": "" if shown is None else VERSION,
        "audited": False,
        "lost": False,
        "seconds": 5.0,
        "pictures": [(image.key, image.item, image.reference, image.detections.to_bytes())],
        "odd": {},
        "problem": "",
    }
    packed: bytes = msgpack.packb(values | parts)
    return packed


ROWS = [
    facts([KITE], [KITE]),
    facts([BALLOON], [KITE]),
    facts([], None),
    facts([KITE], [KITE], seconds=None),
    facts([("label", 0, "Kite", MOVED, 0.0)], [KITE], seconds=None),
]


def make_first_version(database: Database, rows: Sequence[bytes]) -> None:
    """Make the tables of version 1 with annotations, a project and a revision; that version named itself nowhere."""
    with database._using(), database._engine.begin() as connection:  # noqa: SLF001 - what old versions wrote
        config = schema._config()  # noqa: SLF001 - as above
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(text(f"DROP TABLE {schema.VERSION_TABLE}"))
        for number, packed in enumerate(rows, 1):
            row = {"id": number, "at": f"2026-01-01T00:00:{number:02}Z", "seconds": float(number), "facts": packed}
            connection.execute(
                text("INSERT INTO prelabel_annotations VALUES (:id, 3, :id, 1, :at, FALSE, :seconds, TRUE, :facts)"),
                row,
            )
        connection.execute(
            text("INSERT INTO prelabel_projects VALUES (3, 'Kites', :config)"), {"config": BALLOON_CONFIG}
        )
        overrides = '{"thresholds": [["label", "Kite", 0.7]], "classes": [], "branches": []}'
        row = {"learned": overrides, "at": "2026-01-01T00:00:00+00:00"}
        connection.execute(text("INSERT INTO prelabel_revisions VALUES (3, 1, 1, 0, :learned, 'Ada', :at, '{}')"), row)
        connection.execute(text("INSERT INTO prelabel_tasks VALUES (1, 99999999999)"))


def kept(database: Database) -> list[Annotation]:
    """Return the annotations of project 3, as a report reads them."""
    with database.reading() as connection:
        return list(annotations_of(connection, 3))


def test_steps_lead_to_the_tables_of_the_code(database: Database) -> None:
    """Column for column and index for index."""
    database.prepare()
    with database.reading() as connection:
        assert connection is not None
        assert schema.version_of(connection) == schema.versions()[0]
        context = MigrationContext.configure(connection, opts={"version_table": schema.VERSION_TABLE})
        assert compare_metadata(context, metadata) == []


def test_older_database_is_brought_up_to_date_by_reading(database: Database) -> None:
    """A report of corrections that a version without detectors, labels and acceptance has kept."""
    make_first_version(database, ROWS)
    found = kept(database)
    assert [each.detector for each in found] == ["0123abcd", "0123abcd", "", "0123abcd", "0123abcd"]
    later = {"label": ("Balloon", "Kite")}
    assert [each.drawable for each in found] == [{"label": ("Kite",)}, later, later, later, later]
    assert [each.accepted for each in found] == [False, False, False, True, False]
    assert [box.region for each in found for box in (*each.drawn, *(each.shown or ()))] == [""] * 8
    assert len(found[0].images[0].detections) == 1
    with database.reading() as connection:
        assert connection is not None
        assert schema.version_of(connection) == schema.versions()[0]
        (revision,) = history(connection, 3)
        assert (revision.detector, revision.overrides.thresholds) == ("0123abcd", (("label", "Kite", 0.7),))
        assert configs_of(connection, 3) == [(0.0, BALLOON_CONFIG)]
        assert connection.execute(text("SELECT count(*) FROM prelabel_tasks")).scalar_one() == 0
        known = known_annotations(connection, [each.task for each in found], "0123abcd")
        assert sorted(known) == [1, 2, 4, 5]  # the third began without a known prediction, and is read again


def test_many_annotations_are_brought_up_to_date(database: Database) -> None:
    """More than are in memory at once, some of them updated at the same time."""
    make_first_version(database, [facts([KITE], None)] * 59 + [facts([BALLOON], None)])
    with database._using(), database._engine.begin() as connection:  # noqa: SLF001 - as above
        connection.execute(text("UPDATE prelabel_annotations SET updated = 1"))
    assert len(kept(database)) == 60


def test_services_that_start_together_upgrade_once(database: Database, database_url: str) -> None:
    """Each waits for the first, and finds the work done."""
    make_first_version(database, ROWS)
    errors: list[Exception] = []

    def start() -> None:
        try:
            with closing(Database(database_url)) as own:
                own.prepare()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(kept(database)) == len(ROWS)


def test_upgrade_that_fails_changes_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """All steps are one transaction: the next start finds the old version and tries again."""
    make_first_version(database, [*ROWS, b"no facts"])
    with pytest.raises(Exception, match=r".+"):
        database.prepare()
    with database._using(), database._engine.begin() as connection:  # noqa: SLF001 - as above
        assert schema.version_of(connection) is None
        connection.execute(text("DELETE FROM prelabel_annotations WHERE id = 6"))
    assert len(kept(database)) == len(ROWS)


@pytest.mark.parametrize("read", [True, False], ids=["reading", "writing"])
def test_database_of_a_newer_version_is_refused(database: Database, database_url: str, read: bool) -> None:
    """The message names both versions, and nothing is changed."""
    database.prepare()
    with database.writing() as connection:
        connection.execute(text("UPDATE prelabel_schema SET version_num = '9999'"))
    with closing(Database(database_url)) as other:
        newest = schema.versions()[0]
        with (
            pytest.raises(FeedbackError, match=f"have version 9999, and this Prelabel knows versions up to {newest}"),
            other.reading() if read else other.writing(),
        ):
            pass
