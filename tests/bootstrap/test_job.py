"""Bulk jobs write everything that was found, and withhold boxes from those who are to draw themselves."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bootstrap_jobs import LIST_CONFIG, NoInputs, albums, balloon, classified, item, nothing
from samples import BALLOON_CONFIG
from tiny_classifier import BOTH_CONFIG, CHOICES_CONFIG

from ml_backend.bootstrap.existing_tasks import ExistingTaskPolicy
from ml_backend.bootstrap.job import Job, JobPredictions, Reporter
from ml_backend.bootstrap.sinks.coco import Coco
from ml_backend.bootstrap.sinks.csv_table import CsvTable
from ml_backend.bootstrap.sinks.preview import Preview
from ml_backend.bootstrap.sinks.project import Project
from ml_backend.bootstrap.sinks.registry import open_sink
from ml_backend.bootstrap.sinks.sink import Sink, SinkOptions
from ml_backend.bootstrap.sinks.tasks_json import TasksJson
from ml_backend.bootstrap.sinks.yolo import Yolo
from ml_backend.label_studio.label_config import parse_label_config
from ml_backend.pipeline.holdout import in_holdout
from ml_backend.postprocessing.postprocessor import Postprocessor
from ml_backend.settings import Settings
from ml_backend.vocabularies.imagenet import imagenet_classes

JobOf = Callable[..., JobPredictions]
CONTROLS = parse_label_config(BALLOON_CONFIG)[0]
ROWS = [(item("a"), balloon()), (item("b"), nothing()), (item("c"), balloon(0.8, 300))]


class Told(Reporter):
    """Keeps the sentences about sinks."""

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def wrote(self, sentence: str) -> None:
        """Keep a sentence."""
        self.sentences.append(sentence)


def write(of: JobPredictions, fraction: float, folder: Path) -> list[str]:
    """Write a job to tasks.json, coco.json and boxes.csv of a folder; gives what it said."""
    told = Told()
    folder.mkdir(exist_ok=True)
    sinks: list[Sink] = [
        open_sink(f"{kind}{folder / name}", SinkOptions(Settings(cache="none"), controls=CONTROLS))
        for kind, name in (("", "tasks.json"), ("coco:", "coco.json"), ("csv:", "boxes.csv"))
    ]
    Job(NoInputs(), of.checkpoint, of.postprocessor, ExistingTaskPolicy(of.version), told, fraction).write(sinks)
    return told.sentences


def predictions_in(folder: Path) -> list[dict[str, Any]]:
    """Return the prediction of each task."""
    return [task["predictions"][0] for task in json.loads((folder / "tasks.json").read_text())]


def test_boxes_are_withheld_from_annotators_alone(job: JobOf, tmp_path: Path) -> None:
    """With all pictures audited, tasks have predictions without boxes, and files for others have them all."""
    for name, fraction in (("all", 0.0), ("none", 1.0)):
        assert len(write(job(*ROWS), fraction, tmp_path / name)) == 3
    before, audited = (predictions_in(tmp_path / name) for name in ("all", "none"))
    assert [len(each["result"]) for each in before] == [1, 0, 1]
    assert [each["result"] for each in audited] == [[], [], []]
    assert [each | {"result": []} for each in before] == audited, "neither score nor version nor cluster tells"
    for name in ("coco.json", "boxes.csv"):
        assert (tmp_path / "all" / name).read_bytes() == (tmp_path / "none" / name).read_bytes()
    assert len(json.loads((tmp_path / "none" / "coco.json").read_text())["annotations"]) == 2
    with (tmp_path / "none" / "boxes.csv").open(encoding="utf-8", newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)] == ["Balloon", "", "Balloon"]


def test_audited_pictures_are_those_of_the_service(job: JobOf, tmp_path: Path) -> None:
    """Their bytes decide: a part of the pictures, the same ones each time."""
    rows = [(item(f"{number:03d}"), balloon(0.9, 100 + number)) for number in range(60)]
    write(job(*rows), 0.5, tmp_path / "once")
    write(job(*reversed(rows)), 0.5, tmp_path / "again")
    digests = [images["image"][0].digest for _, images in job(*rows).checkpoint.done()]
    expected = [0 if in_holdout(digest, 0.5) else 1 for digest in digests]
    assert [len(each["result"]) for each in predictions_in(tmp_path / "once")] == expected
    assert [len(each["result"]) for each in predictions_in(tmp_path / "again")] == expected[::-1]
    assert 10 < sum(expected) < 50


def test_one_audited_picture_of_a_list_withholds_all_its_boxes(job: JobOf) -> None:
    """Whoever annotates the task sees all its pictures at once."""
    whole = job(*albums(), config=LIST_CONFIG)
    shares = sorted(
        int(image.digest[:8], 16) / 2**32 for _, images in whole.checkpoint.done() for image in images["pages"]
    )
    first = replace(whole, holdout_fraction=shares[0] + 1e-9)
    assert [len(each.prediction["result"]) for each in whole if each.prediction] == [2, 0]
    assert [len(each.prediction["result"]) for each in first if each.prediction] == [2, 0]
    assert [each.in_holdout for each in first] == [True, False]
    (reduced, _) = (each.without_regions() for each in first)
    assert reduced.prediction is not None
    assert reduced.prediction["result"] == []
    assert [len(image.regions) for image in reduced.images] == [0, 0, 0]


def test_choices_are_withheld_from_annotators_too(job: JobOf) -> None:
    """A suggestion is a suggestion, drawn or not."""
    (audited,) = replace(
        job((item("a"), {"image": [classified(balloon=0.9)]}), config=CHOICES_CONFIG), holdout_fraction=1.0
    )
    reduced = audited.without_regions()
    assert (audited.prediction is not None and len(audited.prediction["result"])) == 1
    assert reduced.prediction is not None
    assert (reduced.prediction["result"], reduced.images[0].regions, reduced.images[0].choice_scores) == ([], [], {})


def test_scores_of_all_choices_are_there_where_a_sink_shows_them(job: JobOf, tmp_path: Path) -> None:
    """They take as long as the choices themselves."""
    of = replace(job((item("a"), {"image": [classified(balloon=0.9)]}), config=CHOICES_CONFIG), with_scores=False)
    (predicted,) = of
    assert predicted.images[0].choice_scores == {}
    assert [sink for sink in (TasksJson, Project, Coco, Yolo, CsvTable, Preview) if sink.shows_scores] == [CsvTable]
    options = SinkOptions(Settings(cache="none"), controls=of.postprocessor.controls)
    job_of = Job(NoInputs(), of.checkpoint, of.postprocessor, ExistingTaskPolicy(of.version), Told())
    job_of.write([open_sink(f"csv:{tmp_path / 'boxes.csv'}", options)])
    with (tmp_path / "boxes.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["what"], row["what: Balloon"]) == ("Balloon", "0.9")


class Asks(Reporter):
    """Keeps notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, sentence: str) -> None:
        """Keep a sentence."""
        self.notes.append(sentence)


def test_items_that_need_another_model_are_named(job: JobOf) -> None:
    """A job of boxes goes on with choices: the survey makes its items pending, and says so once."""
    of = job(*ROWS)
    both = Postprocessor.from_label_config(
        BOTH_CONFIG, score_threshold=0.3, classes={"detector": None, "classifier": imagenet_classes()}
    )
    reporter = Asks()
    for _ in range(2):
        Job(NoInputs(), of.checkpoint, both, ExistingTaskPolicy("v"), reporter).survey()
    assert [note.partition(":")[0] for note in reporter.notes] == ["3 that were done are examined again"]
    assert "the detector and the classifier" in reporter.notes[0]
    assert of.checkpoint.counts().pending == 3


def test_what_was_left_alone_is_not_audited(job: JobOf) -> None:
    """It has no prediction of ours to begin with."""
    (left,) = replace(job((item("a", skip_reason="annotated"), None)), holdout_fraction=1.0)
    assert (left.prediction, left.images, left.without_regions()) == (None, (), left)


@pytest.mark.parametrize(
    ("sink", "for_annotators"),
    [(TasksJson, True), (Project, True), (Coco, False), (Yolo, False), (CsvTable, False), (Preview, False)],
)
def test_sinks_say_whom_they_are_for(sink: type[Sink], for_annotators: bool) -> None:
    """Boxes are withheld only from people who draw."""
    assert sink.for_annotators is for_annotators
