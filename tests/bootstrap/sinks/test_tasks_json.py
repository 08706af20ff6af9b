import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bootstrap_jobs import LIST_CONFIG, PAIR_CONFIG, Row, albums, balloon, chances, classified, item, nothing, write
from label_studio_sdk.label_interface import LabelInterface
from samples import BALLOON_CONFIG
from tiny_classifier import BOTH_CONFIG, CHOICES_CONFIG

from ml_backend.bootstrap.items import Item
from ml_backend.bootstrap.job import JobPredictions
from ml_backend.bootstrap.sinks.sink import SinkOptions
from ml_backend.bootstrap.sinks.tasks_json import TasksJson
from ml_backend.model_results import ModelResults
from ml_backend.settings import Settings

JobOf = Callable[..., JobPredictions]
LEFT = Item(
    b"left",
    {"id": 5, "data": {"image": "x"}, "annotations": [{"result": []}], "predictions": [1]},
    skip_reason="annotated",
)

CHOSEN = {"image": [classified(balloon=0.9)]}
BOXED_AND_CHOSEN = {"image": [ModelResults(balloon()["image"][0], chances(balloon=0.9))]}
PER_ITEM_CONFIG = '<View><Image name="image" valueList="$pages"/><Choices name="what" toName="image" perItem="true"><Choice value="Balloon"/></Choices></View>'
PAGES = Item(b"a", {"data": {"pages": ["http://host/1", "http://host/2", "http://host/3"]}})
PAGES_2 = Item(b"b", {"data": {"pages": []}})


def sink_of(path: Path, tasks_per_file: int = 0) -> TasksJson:
    """Return the sink of a file."""
    return TasksJson(path, SinkOptions(Settings(cache="none"), tasks_per_file=tasks_per_file))


def read(path: Path) -> list[Any]:
    """Return the tasks in a file."""
    tasks = json.loads(path.read_text())
    assert isinstance(tasks, list)
    return tasks


def tasks(number: int) -> list[Row]:
    """Return so many items with nothing on them."""
    return [(item(f"{n:04d}"), nothing()) for n in range(number)]


@pytest.mark.parametrize(
    ("config", "rows", "regions"),
    [
        (BALLOON_CONFIG, [(item("a"), balloon()), (item("b"), nothing())], [1, 0]),
        (PAIR_CONFIG, [(item("a"), balloon()), (item("b"), nothing())], [2, 0]),
        (LIST_CONFIG, albums(), [2, 0]),
        (CHOICES_CONFIG, [(item("a"), CHOSEN), (item("b"), {"image": [classified()]})], [1, 0]),
        (BOTH_CONFIG, [(item("a"), BOXED_AND_CHOSEN), (item("b"), BOXED_AND_CHOSEN)], [2, 2]),
        (
            PER_ITEM_CONFIG,
            [(PAGES, {"pages": [*CHOSEN["image"], classified(), *CHOSEN["image"]]}), (PAGES_2, {"pages": []})],
            [2, 0],
        ),
    ],
    ids=[
        "RectangleLabels",
        "Rectangle and Labels",
        "list of images",
        "Choices",
        "both",
        "Choices for each image of a list",
    ],
)
def test_tasks_are_what_label_studio_imports(
    job: JobOf, tmp_path: Path, config: str, rows: list[Row], regions: list[int]
) -> None:
    """By the word of its own SDK."""
    predictions = job(*rows, config=config)
    assert write(sink_of(tmp_path / "tasks.json"), predictions) == f"2 tasks in {tmp_path / 'tasks.json'}"
    interface = LabelInterface(config)
    written = read(tmp_path / "tasks.json")
    assert [len(task["predictions"][0]["result"]) for task in written] == regions
    assert [task["data"] for task in written] == [each.task["data"] for each, _ in rows]
    for task in written:
        (prediction,) = task["predictions"]
        assert interface.validate_prediction(prediction)
        assert prediction["model_version"] == "demo@01234567.abcdef"
        assert prediction["cluster"] >= 1


def test_regions_of_two_tasks_have_ids_of_their_own(job: JobOf, tmp_path: Path) -> None:
    """Though the same was found; and the same ids each time."""
    rows = [(item("a"), balloon()), (item("b"), balloon())]
    for name in ("once.json", "again.json"):
        write(sink_of(tmp_path / name), job(*rows))
    one, other = (task["predictions"][0]["result"][0]["id"] for task in read(tmp_path / "once.json"))
    assert one != other
    assert (tmp_path / "once.json").read_bytes() == (tmp_path / "again.json").read_bytes()


def test_what_was_left_alone_stands_in_its_place_as_it_came(job: JobOf, tmp_path: Path) -> None:
    """With everything that it had, under the names that it had."""
    write(sink_of(tmp_path / "tasks.json"), job((item("a"), balloon()), (LEFT, None), (item("c"), nothing())))
    written = read(tmp_path / "tasks.json")
    assert written[1] == LEFT.task
    assert [len(task["predictions"]) for task in written] == [1, 1, 1]


def test_predicted_task_keeps_everything_but_our_older_predictions(job: JobOf, tmp_path: Path) -> None:
    """Those of other models stay."""
    before: list[dict[str, Any]] = [
        {"result": [], "model_version": version} for version in ("demo@01234567.000000", "yolo-v8")
    ]
    given = item("a", id=7, meta={"batch": 1}, annotations=[{"result": []}], predictions=[*before, {"result": []}])
    write(sink_of(tmp_path / "tasks.json"), job((given, nothing())))
    (task,) = read(tmp_path / "tasks.json")
    versions = [each.get("model_version") for each in task.pop("predictions")]
    assert versions == ["yolo-v8", None, "demo@01234567.abcdef"]
    assert task == {key: value for key, value in given.task.items() if key != "predictions"}


def test_odd_letters(job: JobOf, tmp_path: Path) -> None:
    """A file of ASCII, whatever the task says."""
    given = Item(b"a", {"data": {"image": "\ud800 \0 💡 \u2028"}})
    write(sink_of(tmp_path / "tasks.json"), job((given, nothing())))
    assert (tmp_path / "tasks.json").read_bytes().isascii()
    assert read(tmp_path / "tasks.json")[0]["data"] == given.task["data"]


def test_no_tasks(job: JobOf, tmp_path: Path) -> None:
    """An empty list."""
    write(sink_of(tmp_path / "tasks.json"), job())
    assert read(tmp_path / "tasks.json") == []


@pytest.mark.parametrize(
    ("number", "chunk", "sizes"),
    [(5, 2, [2, 2, 1]), (4, 2, [2, 2]), (1, 10, [1]), (3, 1, [1, 1, 1]), (0, 3, [])],
)
def test_chunks(job: JobOf, tmp_path: Path, number: int, chunk: int, sizes: list[int]) -> None:
    """Files of N tasks each, in the order of the job."""
    sink = sink_of(tmp_path / "tasks.json", chunk)
    write(sink, job(*tasks(number)))
    files = [read(path) for path in sorted(tmp_path.glob("tasks-*.json"))]
    assert [len(each) for each in files] == sizes
    assert [task["data"] for each in files for task in each] == [each.task["data"] for each, _ in tasks(number)]


def test_chunks_of_an_earlier_run_go(job: JobOf, tmp_path: Path) -> None:
    """It had more tasks: nobody imports what is not of this job any more."""
    sink = sink_of(tmp_path / "tasks.json", 2)
    write(sink, job(*tasks(9)))
    (tmp_path / "tasks-2.json").touch()
    (tmp_path / "other-00009.json").touch()
    write(sink, job(*tasks(3)))
    assert sorted(path.name for path in tmp_path.glob("*.json")) == [
        "other-00009.json",
        "tasks-00001.json",
        "tasks-00002.json",
        "tasks-2.json",
    ]


def test_files_of_others_stay(job: JobOf, tmp_path: Path) -> None:
    """Though they are called nearly as chunks are."""
    (tmp_path / "tasks-2-old.json").touch()
    write(sink_of(tmp_path / "tasks.json", 2), job(*tasks(3)))
    assert (tmp_path / "tasks-2-old.json").exists()


def test_chunks_of_an_earlier_run_go_whatever_they_are_called(job: JobOf, tmp_path: Path) -> None:
    """Brackets mean something in patterns."""
    sink = sink_of(tmp_path / "tasks[1].json", 2)
    write(sink, job(*tasks(9)))
    write(sink, job(*tasks(3)))
    assert len(list(tmp_path.glob("*.json"))) == 2
