"""``prelabel bootstrap`` with a classifier: alone and beside a detector, from each kind of source."""

import base64
import csv
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bootstrap_command import draw_pictures, run
from PIL import Image
from samples import BALLOON_CONFIG, balloon_file, empty_file
from tiny_classifier import BOTH_CONFIG, CHOICES_CONFIG

ALONE = {"PRELABEL_MODEL": "", "PRELABEL_CACHE": "none"}
BALLOON, EMPTY = (f"data:image/png;base64,{base64.b64encode(file).decode()}" for file in (balloon_file(), empty_file()))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models_dir: Path) -> Path:
    """Give a folder to run in, with a balloon and a grey picture in ``pictures``, and a label config of choices."""
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(models_dir))
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(balloon_file())
    (tmp_path / "pictures" / "b.png").write_bytes(empty_file())
    (tmp_path / "config.xml").write_text(CHOICES_CONFIG)
    return tmp_path


def choices_in(path: Path) -> list[list[str]]:
    """Return the choices of each task."""
    tasks: list[dict[str, Any]] = json.loads(path.read_text())
    return [region["value"]["choices"] for task in tasks for region in task["predictions"][0]["result"]]


def a_folder(_: Path) -> str:
    """Return the folder of pictures."""
    return "pictures"


def a_table(folder: Path) -> str:
    """Write a table."""
    (folder / "table.csv").write_text(f'image,note\n"{BALLOON}",one\n"{EMPTY}",two\n')
    return "table.csv"


def an_export(folder: Path) -> str:
    """Write an export."""
    tasks = [{"id": 5, "data": {"image": BALLOON}}, {"id": 6, "data": {"image": EMPTY}}]
    (folder / "export.json").write_text(json.dumps(tasks))
    return "export.json"


@pytest.mark.parametrize("source", [a_folder, a_table, an_export], ids=["folder", "table", "export"])
def test_classifier_alone(folder: Path, tiny_classifier: Path, source: Any) -> None:
    """From any source to any destination that has a place for choices."""
    to = ("--to", "tasks.json", "--to", "csv:t.csv", "--to", "preview:sheets")
    options = ("--config", "config.xml", "--classifier", str(tiny_classifier), *to)
    status, told, complaint = run(source(folder), *options, folder=folder, **ALONE)
    assert (status, complaint) == (0, ""), told
    assert choices_in(folder / "tasks.json") == [["Balloon"], ["Umbrella"]]
    with (folder / "t.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["what"] for row in rows] == ["Balloon", "Umbrella"]
    assert all(float(row[f"what: {row['what']}"]) > 0.5 for row in rows)
    assert (folder / "sheets" / "sheet-01.jpg").exists()
    assert told[-1]["labels"] == {"Balloon": 1, "Umbrella": 1}
    assert "the choices of 2 images in" in next(each["text"] for each in told if "t.csv" in each.get("text", ""))


def test_broken_picture_is_a_failure(folder: Path, tiny_classifier: Path) -> None:
    """As with a detector: it is listed with the reason, and tried again on request."""
    (folder / "pictures" / "c.png").write_bytes(b"no picture")
    options = ("pictures", "--config", "config.xml", "--to", "tasks.json")
    settings = ALONE | {"PRELABEL_CLASSIFIER": str(tiny_classifier)}
    status, told, _ = run(*options, folder=folder, **settings)
    assert (status, told[-1]["failed"]) == (1, 1)
    assert (folder / "tasks.json.failures.csv").read_text().splitlines()[1].startswith("c.png,")
    assert len(choices_in(folder / "tasks.json")) == 2
    status, told, _ = run(*options, "--retry-failures", folder=folder, **settings)
    assert (status, told[-1]["items"]) == (1, 1)


def test_dry_run(folder: Path, tiny_classifier: Path) -> None:
    """Choices are counted and drawn before the long run."""
    draw_pictures(folder / "pictures", 10)
    settings = ALONE | {"PRELABEL_CLASSIFIER": str(tiny_classifier)}
    options = ("pictures", "--config", "config.xml", "--dry-run", "3")
    status, told, complaint = run(*options, folder=folder, **settings)
    assert (status, complaint, told[-1]["event"]) == (0, "", "estimated")
    assert (told[-1]["items"], sum(told[-1]["labels"].values())) == (3, 3)
    with Image.open(told[-1]["sheet"]) as sheet:
        assert sheet.width > 900


@pytest.mark.parametrize(
    ("options", "config", "words", "why"),
    [
        ((), "", r"name a label config with the choices of the project \(--config FILE\), .* short as <View>", "no label config"),
        (("--config", "config.xml"), BALLOON_CONFIG, r"it needs a detector \(PRELABEL_MODEL\)", "boxes only, and no detector"),
        (("--config", "config.xml", "--to", "coco:c.json"), CHOICES_CONFIG, "c.json would be empty: coco:FILE has no place for", "COCO"),
        (("--config", "config.xml", "--to", "yolo:y"), CHOICES_CONFIG, "yolo:y would be empty: yolo:DIR has no place for", "YOLO"),
        (("--config", "config.xml", "--to", "yolo:y"), BOTH_CONFIG, "yolo:y would be empty", "boxes that are not served"),
    ],
)  # fmt: skip
def test_refused_before_a_model_is_loaded(
    folder: Path, options: tuple[str, ...], config: str, words: str, why: str
) -> None:
    """One sentence, without a trace of the model, which is not even there."""
    (folder / "config.xml").write_text(config)
    settings = ALONE | {"PRELABEL_CLASSIFIER": "/no/such/classifier"}
    status, told, complaint = run("pictures", "--to", "tasks.json", *options, folder=folder, **settings)
    assert (status, told) == (2, []), why
    assert re.search(words, complaint), why
    assert len(complaint.strip().splitlines()) == 1


def test_both_models_without_a_label_config(folder: Path, tiny_classifier: Path) -> None:
    """There are the boxes of all Open Images classes, as without a classifier, and it is said how to get choices."""
    status, _, complaint = run("pictures", "--to", "t.json", folder=folder, PRELABEL_CLASSIFIER=str(tiny_classifier))
    assert status == 0
    assert complaint.startswith(
        "prelabel: the classifier is not used: without a label config there are boxes only; name a label config"
    )


@pytest.mark.parametrize("to", ["coco:coco.json", "yolo:yolo"])
def test_formats_without_choices_say_so(folder: Path, tiny_classifier: Path, to: str) -> None:
    """One sentence before the work begins; they have the boxes."""
    (folder / "config.xml").write_text(BOTH_CONFIG)
    settings = {"PRELABEL_CLASSIFIER": str(tiny_classifier)}
    status, told, complaint = run("pictures", "--config", "config.xml", "--to", to, folder=folder, **settings)
    assert (status, complaint) == (0, "")
    assert told[0]["event"] == "note"
    assert "gets boxes only" in told[0]["text"]
    assert any("1 boxes on 2 images" in each.get("text", "") for each in told)


def test_wrong_request_needs_no_tensorflow() -> None:
    """It is refused at once; and pages of a checkpoint are read in processes that have no room for it."""
    program = "import sys, ml_backend.bootstrap.run, ml_backend.bootstrap.pending; print('tensorflow' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=True)
    assert result.stdout == "False\n"
