from pathlib import Path

import pytest
from samples import BALLOON_CONFIG
from tiny_classifier import BOTH_CONFIG, CHOICES_CONFIG
from typer.main import get_command

from ml_backend.bootstrap.sinks.coco import Coco
from ml_backend.bootstrap.sinks.csv_table import CsvTable
from ml_backend.bootstrap.sinks.preview import Preview
from ml_backend.bootstrap.sinks.registry import SINKS, open_sink
from ml_backend.bootstrap.sinks.sink import SinkOptions
from ml_backend.bootstrap.sinks.tasks_json import TasksJson
from ml_backend.bootstrap.sinks.yolo import Yolo
from ml_backend.cli.common import app
from ml_backend.errors import BootstrapError
from ml_backend.label_studio.label_config import parse_label_config
from ml_backend.settings import Settings

CONTROLS = parse_label_config(BALLOON_CONFIG)[0]


@pytest.mark.parametrize(
    ("text", "kind", "output"),
    [
        ("tasks.json", TasksJson, "tasks.json"),
        ("d/TASKS.JSON", TasksJson, "d/TASKS.JSON"),
        ("coco:coco.json", Coco, "coco.json"),
        ("coco:annotations", Coco, "annotations"),
        ("yolo:d", Yolo, "d"),
        ("csv:d/a.csv", CsvTable, "d/a.csv"),
        ("preview:d:e", Preview, "d:e"),
    ],
)
def test_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, kind: type, output: str) -> None:
    """What stands before the colon is the format, without one it is tasks."""
    monkeypatch.chdir(tmp_path)
    sink = open_sink(text, SinkOptions(Settings(), controls=CONTROLS))
    assert type(sink) is kind
    assert sink.output == tmp_path / output


def test_help_names_every_form() -> None:
    """A new sink needs a line in the registry, and its form in the help."""
    options = {param.name: getattr(param, "help", "") for param in get_command(app).commands["bootstrap"].params}  # type: ignore[attr-defined]
    assert not [kind.form for kind in SINKS.values() if kind.form not in options["to"]]


def test_outputs_in_chunks(tmp_path: Path) -> None:
    """The checkpoint is called as without chunks; an older output is known by each of its files, whichever are gone."""
    sink = open_sink(str(tmp_path / "tasks.json"), SinkOptions(Settings(), controls=CONTROLS, tasks_per_file=5))
    assert sink.output == tmp_path / "tasks.json"
    assert sink.outputs == [tmp_path / "tasks-00001.json"]
    names = ["tasks-00002.json", "tasks-00004.json", "tasks-100000.json"]
    for name in (*names, "tasks-2.json", "tasks-00003.json.part", "other-00001.json"):
        (tmp_path / name).touch()
    assert sink.outputs == [tmp_path / name for name in names]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tasks",
        "tasks.csv",
        "coco:",
        "yolo:",
        ":a",
        "voc:a",
        "COCO:a",
        "csv",
        "project:",
        "project:old",
        "tasks.json:",
        "http://h/a.json",
        "\udcff",
    ],
)
def test_bad_texts(text: str) -> None:
    """All that there is is listed."""
    with pytest.raises(BootstrapError, match=r"is not a destination: expected FILE\.json, coco:FILE") as refusal:
        open_sink(text, SinkOptions(Settings(), controls=CONTROLS))
    assert str(refusal.value).encode()


CHOICES = parse_label_config(CHOICES_CONFIG)[0]
BOTH = parse_label_config(BOTH_CONFIG)[0]


@pytest.mark.parametrize("text", ["coco:a.json", "yolo:d"])
def test_formats_without_choices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """They take the boxes of a label config that has both, and are refused where they would be empty."""
    monkeypatch.chdir(tmp_path)
    assert not open_sink(text, SinkOptions(Settings(), controls=BOTH)).holds_choices
    with pytest.raises(
        BootstrapError, match=r"no place for choices, .*; name another destination \(FILE\.json, csv:FILE, "
    ):
        open_sink(text, SinkOptions(Settings(), controls=CHOICES))


@pytest.mark.parametrize("text", ["tasks.json", "csv:a.csv", "preview:d"])
def test_formats_with_choices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """They take whatever there is."""
    monkeypatch.chdir(tmp_path)
    assert open_sink(text, SinkOptions(Settings(), controls=CHOICES)).holds_choices
