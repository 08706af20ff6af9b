import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from bootstrap_jobs import (
    LIST_CONFIG,
    PAIR_CONFIG,
    PREFIX,
    albums,
    balloon,
    converted,
    item,
    item_of_file,
    nothing,
    scattered,
)
from bootstrap_jobs import write as write_sink
from PIL import Image
from samples import BALLOON_CONFIG

from ml_backend.bootstrap.items import Item
from ml_backend.bootstrap.job import JobPredictions
from ml_backend.bootstrap.sinks.sink import SinkOptions
from ml_backend.bootstrap.sinks.yolo import Yolo
from ml_backend.label_studio.label_config import parse_label_config
from ml_backend.settings import Settings

JobOf = Callable[..., JobPredictions]


def write(predictions: JobPredictions, folder: Path, config: str = BALLOON_CONFIG) -> Path:
    """Write predictions."""
    write_sink(Yolo(folder, SinkOptions(Settings(cache="none"), controls=parse_label_config(config)[0])), predictions)
    return folder


def boxes(folder: Path) -> dict[str, list[tuple[str, list[float]]]]:
    """Return the boxes of each label file, with the names of their classes."""
    classes = (folder / "classes.txt").read_text().splitlines()
    found = {}
    for path in folder.glob("labels/**/*.txt"):
        rows = [line.split() for line in path.read_text().splitlines()]
        name = str(path.relative_to(folder / "labels"))
        found[name] = [(classes[int(number)], list(map(float, edges))) for number, *edges in rows]
    return found


def files(*names: str) -> Callable[[Path], list[Any]]:
    """Return what makes items of files of these names, each with one balloon."""

    def made(root: Path) -> list[Any]:
        rows = []
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name, errors="surrogateescape")
            rows.append((item_of_file(path, root), balloon()))
        return rows

    return made


def of_value(value: str) -> Any:
    """Return an item of a list, with one balloon."""
    return Item(value.encode(), {"data": {"image": value}}), balloon()


@pytest.mark.parametrize("config", [BALLOON_CONFIG, PAIR_CONFIG], ids=["RectangleLabels", "Rectangle and Labels"])
def test_boxes_are_those_of_label_studios_converter(job: JobOf, tmp_path: Path, config: str) -> None:
    """The same files with the same boxes, to six decimals."""
    rows = []
    for n, size in enumerate([(640, 480), (333, 777), (64, 48)]):
        path = tmp_path / f"{n}.png"
        Image.new("RGB", size).save(path)
        rows.append((item_of_file(path, tmp_path), scattered(40 * (n < 2), *size, seed=n)))
    predictions = job(*rows, config=config)
    ours = boxes(write(predictions, tmp_path / "ours", config))
    theirs = boxes(converted(predictions, config, "YOLO", tmp_path / "theirs"))
    assert sorted(ours) == sorted(theirs) == ["0.txt", "1.txt", "2.txt"]
    assert len(ours["0.txt"]) > 20
    for name, of_ours in ours.items():
        assert [label for label, _ in of_ours] == [label for label, _ in theirs[name]]
        for (_, box), (_, their_box) in zip(of_ours, theirs[name], strict=True):
            assert box == pytest.approx(their_box, abs=1.1e-6)


def test_layout(job: JobOf, tmp_path: Path) -> None:
    """What training programs and Label Studio's own importer look for."""
    rows = [*files("a.jpg")(tmp_path / "in"), (item("b.png"), nothing()), (item("c", skip_reason="annotated"), None)]
    out = write(job(*rows), tmp_path / "out")
    assert (out / "classes.txt").read_text() == "Balloon\nKite\nBox\n"
    assert json.loads((out / "notes.json").read_text())["categories"][1] == {"id": 1, "name": "Kite"}
    data = yaml.safe_load((out / "data.yaml").read_text())
    assert data == {"path": ".", "train": "images", "val": "images", "names": {0: "Balloon", 1: "Kite", 2: "Box"}}
    assert (out / "labels" / "a.txt").read_text() == "0 0.500000 0.500000 0.600000 0.500000\n"
    assert (out / "labels" / "b.txt").read_text() == ""
    assert [path.name for path in (out / "images").iterdir()] == ["a.jpg"]
    assert (out / "images" / "a.jpg").read_text() == "a.jpg"


def test_labels_of_any_name(job: JobOf, tmp_path: Path) -> None:
    """They are text, whatever YAML makes of them elsewhere."""
    config = BALLOON_CONFIG.replace('"Balloon"', '"no: #1 &quot;ü&quot;" predicted_values="Balloon"').replace(
        "Kite", "yes"
    )
    out = write(job((item("a"), balloon()), config=config), tmp_path / "out", config)
    assert list(yaml.safe_load((out / "data.yaml").read_text())["names"].values()) == ['no: #1 "ü"', "yes", "Box"]
    assert (out / "classes.txt").read_text(encoding="utf-8").splitlines()[0] == 'no: #1 "ü"'


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["a.jpg", "d/a.jpg", "d/e/a.jpg"], ["a.txt", "d/a.txt", "d/e/a.txt"]),
        (["a.jpg", "a.png", "a.gif"], ["a.txt", "a-2.txt", "a-3.txt"]),
        (["a.jpg", "a-2.jpg", "a.png"], ["a.txt", "a-2.txt", "a-3.txt"]),
        (["a.b.jpg", "a.c.jpg"], ["a.b.txt", "a.c.txt"]),
        (["a b #?%20'\n.jpg"], ["a b #?%20'\n.txt"]),
        (["ü.jpg", "\udcff.jpg"], ["ü.txt", "\\udcff.txt"]),
        pytest.param(
            ["a-1.jpg", "a-1.png"],
            ["a-1.txt", "a-1-2.txt"],
        ),
        pytest.param(
            ["d.jpg", "d.txt/a.jpg"],
            ["d.txt", ""],
        ),
        pytest.param(
            ["x" * 251 + ".jpg", "x" * 251 + ".png"],
            ["x" * 200 + ".txt", "x" * 200 + "-2.txt"],
        ),
        pytest.param(
            ["\udcff" * 60 + ".jpg"],
            [""],
        ),
    ],
    ids=[
        "folders stay apart",
        "one stem, three suffixes",
        "the number is taken already",
        "points in names",
        "odd letters",
        "letters that cannot be written",
        "a name with a number",
        "a folder that is called as a label file",
        "as long as names can be",
        "many letters that cannot be written",
    ],
)
def test_each_file_has_a_label_file_of_its_own(job: JobOf, tmp_path: Path, names: list[str], labels: list[str]) -> None:
    """Beside it a link to the picture under the same name; an empty name in the table is free."""
    out = write(job(*files(*names)(tmp_path / "in")), tmp_path / "out")
    found = boxes(out)
    assert len(found) == len(names)
    assert not [label for label in labels if label and label not in found]
    contents = []
    for label in found:
        (link,) = (
            path
            for path in (out / "images" / label).parent.glob("*.*")
            if path.is_symlink() and path.stem == Path(label).stem
        )
        assert link.is_symlink()
        contents.append(link.read_bytes())
    assert sorted(contents) == sorted(name.encode(errors="surrogateescape") for name in names)


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (["http://h/d/a.jpg?sig=1&x=b.jpg#c.jpg"], ["a.txt"]),
        (["http://h/1/a.jpg", "http://h/2/a.jpg", "s3://b/a.png"], ["a.txt", "a-2.txt", "a-3.txt"]),
        (["http://h/k%20ey%C3%BC.jpg"], ["k eyü.txt"]),
        (["http://h/..%2F..%2Fetc%2Fpasswd.jpg", "http://h/.."], ["passwd.txt", "...txt"]),
        ([PREFIX + "d/a%20b.jpg", PREFIX + "..%2Fc.jpg"], ["a b.txt", "c.txt"]),
        (["/data/upload/1/73f47284-a.jpg"], ["73f47284-a.txt"]),
        (["http://h/", "http://h/?d=", "http://h"], ["picture.txt", "picture-2.txt", "picture-3.txt"]),
        (["http://h/image/7"], ["7.txt"]),
        (["data:image/png;base64,AAAA/a.jpg", "data:,"], ["inline-1-0.txt", "inline-2-0.txt"]),
        (
            ["http://h/" + "x" * 300 + ".jpg", "http://h/" + "%C3%BC" * 300 + ".jpg"],
            ["x" * 200 + ".txt", "ü" * 100 + ".txt"],
        ),
        pytest.param(
            ["http://h/%00"],
            ["picture.txt"],
        ),
    ],
    ids=[
        "last part of the path",
        "numbered",
        "decoded",
        "never beyond its folder",
        "local files",
        "uploads",
        "no name",
        "no suffix",
        "inline",
        "long",
        "unprintable",
    ],
)
def test_names_of_addresses(job: JobOf, tmp_path: Path, values: list[str], labels: list[str]) -> None:
    """A label file for each; no links, since there are no files."""
    out = write(job(*map(of_value, values)), tmp_path / "out")
    assert sorted(boxes(out)) == sorted(labels)
    assert list((out / "images").iterdir()) == []


def test_thousands_of_addresses_that_end_alike(job: JobOf, tmp_path: Path) -> None:
    """As image servers have them: …/17/full/max/0/default.jpg. Counting from the first each time would take minutes."""
    predictions = job(*(of_value(f"http://h/{n}/full/max/0/default.jpg") for n in range(4_000)))
    began = time.monotonic()
    assert len(boxes(write(predictions, tmp_path / "out"))) == 4_000
    assert time.monotonic() - began < 30


def test_list_of_images(job: JobOf, tmp_path: Path) -> None:
    """Each page has a label file."""
    found = boxes(write(job(*albums(), config=LIST_CONFIG), tmp_path / "out", LIST_CONFIG))
    assert {name: [label for label, _ in rows] for name, rows in found.items()} == {
        "1.txt": ["Balloon"],
        "2.txt": [],
        "3.txt": ["Kite"],
    }


def test_folder_of_an_earlier_run_is_replaced(job: JobOf, tmp_path: Path) -> None:
    """No label file of a picture that is not in the job any more stays."""
    write(job(*files("a.jpg", "b.jpg")(tmp_path / "in")), tmp_path / "out")
    out = write(job(*files("b.jpg")(tmp_path / "in")), tmp_path / "out")
    assert sorted(boxes(out)) == ["b.txt"]
    assert (tmp_path / "in" / "a.jpg").exists()
