from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bootstrap_jobs import LIST_CONFIG, Row, albums, balloon, classified, item, item_of_file, nothing
from bootstrap_jobs import write as write_sink
from numpy.typing import NDArray
from picture_server import PictureServer
from PIL import Image
from samples import balloon_file
from tiny_classifier import CHOICES_CONFIG

from ml_backend.bootstrap.items import Item
from ml_backend.bootstrap.job import JobPredictions
from ml_backend.bootstrap.sinks.preview import COLUMNS, MAX_IMAGES, ON_A_SHEET, TILE, Preview, caption_of
from ml_backend.bootstrap.sinks.sink import SinkOptions
from ml_backend.settings import Settings

JobOf = Callable[..., JobPredictions]
GREY = (208, 208, 208)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[JobPredictions], list[Path]]:
    """Give a function that draws sheets."""

    def written(predictions: JobPredictions) -> list[Path]:
        sentence = write_sink(Preview(tmp_path / "out", SinkOptions(Settings(cache="none"))), predictions)
        assert str(tmp_path / "out") in sentence
        return sorted((tmp_path / "out").iterdir())

    return written


def tiles(path: Path) -> list[tuple[int, ...]]:
    """Return the colour in the middle of each tile of a sheet, its blank end left out; JPEG may change it a little."""
    gap, caption = 8, 16
    with Image.open(path) as sheet:
        rows = round(sheet.height / (TILE[1] + gap + caption))
        columns = round(sheet.width / (TILE[0] + gap))
        middles = [
            sheet.getpixel((column * (TILE[0] + gap) + TILE[0] // 2, row * (TILE[1] + gap + caption) + TILE[1] // 2))
            for row in range(rows)
            for column in range(columns)
        ]
    return [middle for middle in middles if isinstance(middle, tuple) and middle < (250, 250, 250)]


def files(folder: Path, number: int) -> list[Row]:
    """Return items of so many files, each of a grey of its own, from dark to light."""
    folder.mkdir()
    rows: list[Row] = []
    for n in range(number):
        path = folder / f"{n:04d}.png"
        Image.new("RGB", (32, 24), (n * 240 // number,) * 3).save(path)
        rows.append((item_of_file(path, folder), nothing()))
    return rows


@pytest.mark.parametrize(
    ("number", "sheets"), [(1, [1]), (ON_A_SHEET, [24]), (ON_A_SHEET + 1, [24, 1]), (70, [24, 24, 22])]
)
def test_sheets(job: JobOf, tmp_path: Path, write: Callable[..., list[Path]], number: int, sheets: list[int]) -> None:
    """Of 24 pictures each, all of a small job."""
    found = write(job(*files(tmp_path / "in", number)))
    assert [path.name for path in found] == [f"sheet-{n:02d}.jpg" for n in range(1, len(sheets) + 1)]
    assert [len(tiles(path)) for path in found] == sheets
    with Image.open(found[0]) as sheet:
        assert sheet.width == min(COLUMNS, number) * (TILE[0] + 8) - 8


def test_large_job_is_shown_in_parts_from_everywhere(
    job: JobOf, tmp_path: Path, write: Callable[..., list[Path]]
) -> None:
    """At most 240 pictures, spread evenly."""
    found = write(job(*files(tmp_path / "in", 2 * MAX_IMAGES + 100)))
    assert [len(tiles(path)) for path in found] == [ON_A_SHEET] * (MAX_IMAGES // ON_A_SHEET)
    shades = [tile[0] for path in found for tile in tiles(path)]
    assert shades == sorted(shades)
    assert shades[0] < 5
    assert 110 < shades[MAX_IMAGES // 2] < 130
    assert shades[-1] > 230


def test_boxes_are_drawn(job: JobOf, tmp_path: Path, write: Callable[..., list[Path]], pictures: PictureServer) -> None:
    """On the picture as it is fetched again, wherever it is."""
    url = pictures.add("/a.png", balloon_file())
    (plain,) = write(job((Item(b"a", {"data": {"image": url}}), nothing())))
    before = Image.open(plain).copy()
    (with_box,) = write(job((Item(b"a", {"data": {"image": url}}), balloon(width=320, height=200))))
    with Image.open(with_box) as after:
        edge = (TILE[0] // 5, TILE[1] // 2)  # the left edge of the balloon's box, at 20 percent
        assert before.getpixel(edge) != after.getpixel(edge)


def test_picture_that_is_gone_is_a_grey_tile(job: JobOf, tmp_path: Path, write: Callable[..., list[Path]]) -> None:
    """The others are drawn."""
    rows = files(tmp_path / "in", 3)
    (tmp_path / "in" / "0001.png").unlink()
    (tmp_path / "in" / "0002.png").write_bytes(b"no picture any more")
    (sheet,) = write(job(*rows))
    first, *others = tiles(sheet)
    assert first[0] < 5
    assert others == [pytest.approx(GREY, abs=4)] * 2


def test_what_has_no_picture_is_not_drawn(job: JobOf, tmp_path: Path, write: Callable[..., list[Path]]) -> None:
    """What was left alone, and an empty list of images."""
    rows = files(tmp_path / "in", 2)
    (sheet,) = write(job((item("left", skip_reason="annotated"), None), *rows))
    assert len(tiles(sheet)) == 2
    assert len(tiles(write(job(*albums(), config=LIST_CONFIG))[0])) == 1


def test_no_pictures(job: JobOf, write: Callable[..., list[Path]]) -> None:
    """An empty folder."""
    assert write(job()) == []


def test_choices_stand_below_the_picture(job: JobOf, tmp_path: Path, write: Callable[..., list[Path]]) -> None:
    """Those of the image that is drawn; another choice is another line of text."""
    lines: list[NDArray[np.bool_]] = []
    for seen in (classified(balloon=0.9), classified(umbrella=0.9), classified()):
        folder = tmp_path / f"{len(lines)}"
        ((row, _),) = files(folder, 1)
        (sheet,) = write(job((row, {"image": [seen]}), config=CHOICES_CONFIG))
        with Image.open(sheet) as drawn:
            lines.append(np.asarray(drawn.convert("L"))[TILE[1] + 2 :] < 128)
    balloon_line, umbrella_line, empty_line = (int(line.sum()) for line in lines)
    assert balloon_line > empty_line + 20
    assert umbrella_line > empty_line + 20
    assert (lines[0] != lines[1]).any()


def test_caption(job: JobOf) -> None:
    """Score and choices of the first image of a list, of all controls."""
    config = (
        '<View><Image name="image" valueList="$pages"/><Choices name="own" toName="image" perItem="true"><Choice value="Balloon"/>'
        '<Choice value="Umbrella"/></Choices><Taxonomy name="all" toName="image"><Choice value="Vehicle"><Choice value="Balloon"/></Choice>'
        "</Taxonomy></View>"
    )
    pages = Item(b"a", {"data": {"pages": ["http://host/1", "http://host/2"]}})
    found = {"pages": [classified(balloon=0.9), classified(umbrella=0.9)]}
    (predicted,) = job((pages, found), config=config)
    assert caption_of(predicted).split("  ")[1:] == ["own: Balloon", "all: Vehicle / Balloon"]


def test_caption_of_a_picture_without_boxes(job: JobOf, tmp_path: Path) -> None:
    """It has no score: that of an empty prediction is high where nothing was found, and looks like that of a box."""
    (row,) = files(tmp_path / "in", 1)
    (empty,) = job(row)
    (with_box,) = job((Item(b"a", {"data": {"image": "http://host/1"}}), balloon(width=320, height=200)))
    assert caption_of(empty) == "(nothing)"
    assert float(caption_of(with_box)) > 0.5
