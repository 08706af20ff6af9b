import csv
from collections.abc import Callable
from pathlib import Path

from bootstrap_jobs import PAIR_CONFIG, balloon, item, item_of_file, nothing, write

from ml_backend.bootstrap.items import Item
from ml_backend.bootstrap.job import JobPredictions
from ml_backend.bootstrap.sinks.csv_table import CsvTable
from ml_backend.bootstrap.sinks.sink import SinkOptions
from ml_backend.settings import Settings

JobOf = Callable[..., JobPredictions]


def rows_of(predictions: JobPredictions, path: Path) -> list[list[str]]:
    """Write predictions and return the rows below the header."""
    write(CsvTable(path, SinkOptions(Settings(cache="none"))), predictions)
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == HEADER
    return rows


def test_a_row_for_each_box(job: JobOf, tmp_path: Path) -> None:
    """In pixels; a picture without boxes has a row without a box, and what was left alone has none."""
    rows = [(item("a"), balloon()), (item("b", skip_reason="annotated"), None), (item("c"), nothing())]
    assert rows_of(job(*rows), tmp_path / "t.csv") == [
        ["http://host/a", "Balloon", "0.9", "40.00", "25.00", "120.00", "50.00", "200", "100"],
        ["http://host/c", "", "", "", "", "", "", "64", "48"],
    ]


def test_pair_of_tags_is_one_box(job: JobOf, tmp_path: Path) -> None:
    """Though it is two regions."""
    assert len(rows_of(job((item("a"), balloon()), config=PAIR_CONFIG), tmp_path / "t.csv")) == 1


def test_any_name(job: JobOf, tmp_path: Path) -> None:
    """Commas, quotes, line ends and letters that cannot be written are one cell; a picture within the task goes by its place."""
    names = ['a, "b".jpg', "c\nd\r.jpg", "ü.jpg", "\udcff.jpg"]
    rows = [(item_of_file(tmp_path / name, tmp_path), nothing()) for name in names]
    rows.append((Item(b"inline", {"data": {"image": "data:," + "x" * 5_000}}), nothing()))
    found = [row[0] for row in rows_of(job(*rows), tmp_path / "t.csv")]
    assert found == [*names[:3], "\\udcff.jpg", "inline-5-0"]
