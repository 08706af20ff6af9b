import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from bootstrap_jobs import PAIR_CONFIG, balloon, chances, classified, item, item_of_file, nothing, write
from samples import BALLOON_CONFIG, detections_of

from ml_backend.bootstrap.items import Item
from ml_backend.bootstrap.job import JobPredictions
from ml_backend.bootstrap.sinks.csv_table import CsvTable, header_of
from ml_backend.bootstrap.sinks.sink import SinkOptions
from ml_backend.label_studio.label_config import parse_label_config
from ml_backend.model_results import ModelResults
from ml_backend.settings import Settings

JobOf = Callable[..., JobPredictions]


BOXES = ["image", "label", "score", "left", "top", "width", "height", "image_width", "image_height"]
WHAT = '<Choices name="what" toName="image"><Choice value="Balloon"/><Choice value="Umbrella"/></Choices>'
TREE = '<Taxonomy name="tree" toName="image"><Choice value="Vehicle"><Choice value="Balloon"/><Choice value="Airship"/></Choice></Taxonomy>'


def table_of(predictions: JobPredictions, path: Path) -> list[list[str]]:
    """Write predictions and return header and rows."""
    write(CsvTable(path, SinkOptions(Settings(cache="none"), controls=predictions.postprocessor.controls)), predictions)
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def rows_of(predictions: JobPredictions, path: Path) -> list[list[str]]:
    """Write predictions of boxes and return the rows below the header."""
    header, *rows = table_of(predictions, path)
    assert header == BOXES
    return rows


def config_of(*controls: str, image: str = '<Image name="image" value="$image"/>') -> str:
    """Return a label config."""
    return f"<View>{image}{''.join(controls)}</View>"


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


def test_only_choices(job: JobOf, tmp_path: Path) -> None:
    """A row for each picture, without the columns of boxes: what holds, and the score of each choice, also below the threshold."""
    rows = [
        (item("a"), {"image": [classified(balloon=0.75, umbrella=0.125)]}),
        (item("b", skip_reason="annotated"), None),
        (item("c"), {"image": [classified(balloon=0.25, umbrella=0.125)]}),
    ]
    assert table_of(job(*rows, config=config_of(WHAT)), tmp_path / "t.csv") == [
        ["image", "image_width", "image_height", "what", "what: Balloon", "what: Umbrella"],
        ["http://host/a", "200", "100", "Balloon", "0.75", "0.125"],
        ["http://host/c", "200", "100", "", "0.25", "0.125"],
    ]


def test_boxes_and_choices(job: JobOf, tmp_path: Path) -> None:
    """Each row of a picture has its choices, so that a filter keeps all its boxes; a picture without boxes has its choices too."""
    (seen,), (empty,) = balloon()["image"], nothing()["image"]
    two = detections_of(("Balloon", 0.9, (0, 0, 0.5, 0.5)), ("Kite", 0.8, (0.5, 0.5, 1, 1)), width=200, height=100)
    found = [ModelResults(each, chances(balloon=0.5)) for each in (two, empty, seen)]
    rows = [(item(name), {"image": [each]}) for name, each in zip("abc", found, strict=True)]
    config = BALLOON_CONFIG.replace("</View>", f"{WHAT}</View>")
    header, *table = table_of(job(*rows, config=config), tmp_path / "t.csv")
    assert header == [*BOXES, "what", "what: Balloon", "what: Umbrella"]
    assert [(row[0][-1], row[1], row[9], row[10]) for row in table] == [
        ("a", "Balloon", "Balloon", "0.5"),
        ("a", "Kite", "Balloon", "0.5"),
        ("b", "", "Balloon", "0.5"),
        ("c", "Balloon", "Balloon", "0.5"),
    ]


def test_several_choices_and_paths(job: JobOf, tmp_path: Path) -> None:
    """In one cell, between semicolons; a path through a tree as the editor shows it."""
    several = WHAT.replace("<Choices", '<Choices choice="multiple"')
    found = {"image": [classified(balloon=0.5, umbrella=0.375)]}
    header, row = table_of(job((item("a"), found), config=config_of(several, TREE)), tmp_path / "t.csv")
    cells = dict(zip(header, row, strict=True))
    assert cells["what"] == "Balloon; Umbrella"
    assert cells["tree"] == "Vehicle / Balloon"
    assert cells["tree: Vehicle / Balloon"] == "0.5"
    assert float(cells["tree: Vehicle / Airship"]) < 0.01
    assert float(cells["tree: Vehicle"]) >= 0.5


def test_images_of_a_list(job: JobOf, tmp_path: Path) -> None:
    """With ``perItem`` each has choices of its own, otherwise those of all of them."""
    pages = '<Image name="image" valueList="$pages"/>'
    own = WHAT.replace('name="what"', 'name="own" perItem="true"')
    found = {"pages": [classified(balloon=0.75), classified(umbrella=0.75), classified(balloon=0.75)]}
    task = Item(b"a", {"data": {"pages": ["http://host/1", "http://host/2", "http://host/3"]}})
    predictions = job((task, found), config=config_of(own, WHAT, image=pages))
    header, *rows = table_of(predictions, tmp_path / "t.csv")
    cells = [dict(zip(header, row, strict=True)) for row in rows]
    assert [each["own"] for each in cells] == ["Balloon", "Umbrella", "Balloon"]
    assert [each["what"] for each in cells] == ["Balloon"] * 3
    assert {each["what: Balloon"] for each in cells} == {"0.5001"}
    assert [float(each["own: Balloon"]) > 0.5 for each in cells] == [True, False, True]


def test_choices_of_another_image(job: JobOf, tmp_path: Path) -> None:
    """A task with two images: the cells of a control are empty on the other one."""
    back = '<Image name="back" value="$back"/>' + WHAT.replace('toName="image"', 'toName="back"').replace(
        "what", "behind"
    )
    task = Item(b"a", {"data": {"image": "http://host/front", "back": "http://host/back"}})
    found = {"image": [classified(balloon=0.75)], "back": [classified(umbrella=0.75)]}
    header, *rows = table_of(job((task, found), config=config_of(WHAT, back)), tmp_path / "t.csv")
    cells = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    assert (cells["http://host/front"]["what"], cells["http://host/back"]["what"]) == ("Balloon", "")
    assert (cells["http://host/front"]["behind"], cells["http://host/back"]["behind"]) == ("", "Umbrella")
    assert cells["http://host/front"]["behind: Umbrella"] == ""


@pytest.mark.parametrize(
    ("name", "column"),
    [("what", "what"), ("score", "score (choices)"), ("image_width", "image_width (choices)")],
)
def test_no_two_columns_have_one_name(name: str, column: str) -> None:
    """Programs read columns by their names."""
    config = BALLOON_CONFIG.replace('name="label"', 'name="box"').replace(
        "</View>", WHAT.replace("what", name) + "</View>"
    )
    header = header_of(parse_label_config(config)[0])
    assert header[9:] == [column, f"{name}: Balloon", f"{name}: Umbrella"]
    assert len(set(header)) == len(header)
