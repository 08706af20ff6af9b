import csv
from pathlib import Path

import pytest
from bootstrap_jobs import item, looked_at, nothing

from ml_backend.bootstrap.checkpoint import Checkpoint
from ml_backend.bootstrap.failures import write_failures
from ml_backend.bootstrap.items import Failure, Item, Outcome
from ml_backend.errors import BootstrapError


def table(path: Path) -> list[list[str]]:
    """Return the rows as a table program reads them."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_failures_are_listed(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """In the order of the job, under the names by which people know them, with what was wrong."""
    files = [Item(name, {"data": {"image": "x"}}, tmp_path / "x") for name in (b'd/"a", b\n.jpg', b"\xff.jpg")]
    checkpoint.survey([*files, item("c"), item("d"), item("e", id=7)], sort=False)
    told = Failure("it says: gone,\nfor good", "image_not_fetched")
    checkpoint.record([Outcome(n, {}, told) for n in (1, 2, 4, 5)] + [Outcome(3, looked_at(nothing()))])
    assert write_failures(checkpoint, tmp_path / "failures.csv") == 4
    header, *rows = table(tmp_path / "failures.csv")
    assert header == ["image", "reason", "code"]
    assert [row[0] for row in rows] == ['d/"a", b\n.jpg', "\\udcff.jpg", "http://host/d", "task 7"]
    assert {(reason, code) for _, reason, code in rows} == {(told.reason, told.code)}


def test_no_failures_no_file(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Also where an earlier run left one: all have been mended."""
    path = tmp_path / "failures.csv"
    assert write_failures(checkpoint, path) == 0
    checkpoint.survey([item("a")], sort=False)
    checkpoint.record([Outcome(1, {}, Failure("gone", "x"))])
    assert (write_failures(checkpoint, path), path.exists()) == (1, True)
    checkpoint.retry_failures()
    checkpoint.record([Outcome(1, looked_at(nothing()))])
    assert (write_failures(checkpoint, path), path.exists()) == (0, False)


def test_list_that_cannot_be_written(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """A sentence."""
    checkpoint.survey([item("a")], sort=False)
    checkpoint.record([Outcome(1, {}, Failure("gone", "x"))])
    (tmp_path / "failures.csv").mkdir()
    with pytest.raises(BootstrapError, match=r"failures\.csv cannot be written: Is a directory"):
        write_failures(checkpoint, tmp_path / "failures.csv")
