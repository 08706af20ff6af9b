import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ml_backend.sqlite import ForeignDatabaseError, connect, connect_read_only, transaction

APPLICATION = 0x50724C99


def test_new_file(tmp_path: Path) -> None:
    """It gets the application id, a write-ahead log, and the pragmas of new files."""
    with closing(connect(tmp_path / "a", APPLICATION, synchronous="FULL", new_file={"page_size": 16_384})) as database:
        names = ("application_id", "journal_mode", "synchronous", "page_size")
        found = [database.execute(f"PRAGMA {name}").fetchone()[0] for name in names]
    assert found == [APPLICATION, "wal", 2, 16_384]


def test_own_file_is_opened_again(tmp_path: Path) -> None:
    """Its tables and its page size stay."""
    with closing(connect(tmp_path / "a", APPLICATION)) as database:
        database.execute("CREATE TABLE kept (value)")
        (before,) = database.execute("PRAGMA page_size").fetchone()
    with closing(connect(tmp_path / "a", APPLICATION, new_file={"page_size": 2 * before})) as database:
        assert database.execute("SELECT COUNT(*) FROM kept").fetchone() == (0,)
        assert database.execute("PRAGMA page_size").fetchone() == (before,)


@pytest.mark.parametrize("application", [0, APPLICATION + 1])
def test_file_of_another_program(tmp_path: Path, application: int) -> None:
    """It is refused, and no byte of it changes."""
    path = tmp_path / "precious"
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA application_id = {application}")
        database.execute("CREATE TABLE precious (value)")
    before = path.read_bytes()
    with pytest.raises(ForeignDatabaseError, match="another program's database"):
        connect(path, APPLICATION)
    assert path.read_bytes() == before


def test_file_that_is_no_database(tmp_path: Path) -> None:
    """SQLite's own error reaches the caller, who knows what the file is for."""
    (tmp_path / "notes").write_text("no pages of a database " * 100)
    with pytest.raises(sqlite3.DatabaseError):
        connect(tmp_path / "notes", APPLICATION)


def test_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    """After an error, nothing of it is stored, and the connection can be used."""
    with closing(connect(tmp_path / "a", APPLICATION)) as database:
        database.execute("CREATE TABLE numbers (value)")
        with pytest.raises(sqlite3.ProgrammingError), transaction(database):
            database.executemany("INSERT INTO numbers VALUES (?)", iter([(1,), (1, 2)]))
        with transaction(database):
            database.execute("INSERT INTO numbers VALUES (2)")
        assert database.execute("SELECT value FROM numbers").fetchall() == [(2,)]


def test_reader_beside_a_writer(tmp_path: Path) -> None:
    """It sees what is committed, and cannot write."""
    path = tmp_path / "with space # and ü"
    with closing(connect(path, APPLICATION)) as database:
        database.execute("CREATE TABLE numbers (value)")
        with transaction(database), connect_read_only(path, timeout=1) as reader:
            database.execute("INSERT INTO numbers VALUES (1)")
            assert reader.execute("SELECT COUNT(*) FROM numbers").fetchone() == (0,)
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                reader.execute("INSERT INTO numbers VALUES (2)")
