"""A job writes over what it has made itself, and over nothing else."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from bootstrap_jobs import NoInputs, item, nothing
from bootstrap_jobs import write as write_sink
from samples import BALLOON_CONFIG

from ml_backend.bootstrap.existing_tasks import ExistingTaskPolicy
from ml_backend.bootstrap.items import PredictedItem
from ml_backend.bootstrap.job import Job, JobPredictions
from ml_backend.bootstrap.outputs import check_outputs, mark_being_written
from ml_backend.bootstrap.reporters import Quiet
from ml_backend.bootstrap.sinks.registry import open_sink
from ml_backend.bootstrap.sinks.sink import Sink, SinkOptions
from ml_backend.bootstrap.tally import Tally
from ml_backend.errors import BootstrapError
from ml_backend.label_studio.label_config import parse_label_config
from ml_backend.settings import Settings

JobOf = Callable[..., JobPredictions]
CONTROLS = parse_label_config(BALLOON_CONFIG)[0]


class Killed:
    """Predictions in the middle of which the process is killed."""

    def __init__(self, predictions: JobPredictions) -> None:
        self._predictions = predictions

    def __iter__(self) -> Iterator[PredictedItem]:
        """Yield all but the last."""
        *most, _ = self._predictions
        yield from most
        raise KeyboardInterrupt


@pytest.fixture
def of(job: JobOf) -> JobPredictions:
    """Give a job of five items."""
    return job(*((item(f"{number}"), nothing()) for number in range(5)))


def opened(folder: Path, *texts: str, tasks_per_file: int = 0) -> list[Sink]:
    """Open sinks in a folder."""
    paths = [text.replace(":", f":{folder}/") if ":" in text else f"{folder}/{text}" for text in texts]
    options = SinkOptions(Settings(cache="none"), controls=CONTROLS, tasks_per_file=tasks_per_file)
    return [open_sink(path, options) for path in paths]


def write(of: JobPredictions, sinks: Sequence[Sink]) -> None:
    """Write a job, as its command does."""
    check_outputs(of.checkpoint, sinks, None, overwrite=False)
    Job(
        NoInputs(), of.checkpoint, of.postprocessor, ExistingTaskPolicy(of.version), Quiet(Tally(of.postprocessor))
    ).write(sinks)


def names_in(folder: Path) -> list[str]:
    """Return the outputs in a folder."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("job-"))


CHUNKS = ["tasks-00001.json", "tasks-00002.json", "tasks-00003.json"]


@pytest.mark.parametrize(
    ("chunks", "left"),
    [
        pytest.param([2, 0], ["tasks.json"], id="one file after several"),
        pytest.param([0, 2], CHUNKS, id="several after one file"),
        pytest.param([1, 2], CHUNKS, id="fewer after more"),
        pytest.param([2, 0, 2, 0], ["tasks.json"], id="there and back"),
    ],
)
def test_nothing_is_there_twice(of: JobPredictions, tmp_path: Path, chunks: list[int], left: list[str]) -> None:
    """Who imports everything that lies there would get each task twice."""
    for chunk in chunks:
        write(of, opened(tmp_path, "tasks.json", tasks_per_file=chunk))
    assert names_in(tmp_path) == left


def test_what_is_not_the_jobs_stays(of: JobPredictions, tmp_path: Path) -> None:
    """Files of others, what somebody has changed, and what other sinks have made."""
    write(of, opened(tmp_path, "tasks.json", "csv:tasks-00004.json", tasks_per_file=2))
    (tmp_path / "tasks-00002.json").write_text("corrected")
    (tmp_path / "tasks-00007.json").write_text("another's")
    write(of, opened(tmp_path, "csv:tasks-00004.json", "tasks.json"))
    left = ["tasks-00002.json", "tasks-00004.json", "tasks-00007.json", "tasks.json"]
    assert names_in(tmp_path) == left


def test_killed_among_several_files(of: JobPredictions, tmp_path: Path) -> None:
    """The same command goes on, and so does one that wants a single file."""
    (sink,) = opened(tmp_path, "tasks.json", tasks_per_file=2)
    for chunk in (2, 0):
        mark_being_written(of.checkpoint, sink.outputs)
        with pytest.raises(KeyboardInterrupt):
            write_sink(sink, of, Killed(of))
        assert names_in(tmp_path) == CHUNKS[:2]
        write(of, opened(tmp_path, "tasks.json", tasks_per_file=chunk))
        assert names_in(tmp_path) == (CHUNKS if chunk else ["tasks.json"])
        for path in tmp_path.glob("tasks*"):
            path.unlink()


def test_file_of_somebody_else_in_the_place_of_one_that_went(of: JobPredictions, tmp_path: Path) -> None:
    """It was the job's once, and is not any more."""
    write(of, opened(tmp_path, "tasks.json", tasks_per_file=1))
    write(of, opened(tmp_path, "tasks.json", tasks_per_file=2))
    (tmp_path / "tasks-00005.json").write_text("another's")
    with pytest.raises(BootstrapError, match=r"tasks-00005.json has been changed since this job wrote it"):
        write(of, opened(tmp_path, "tasks.json", tasks_per_file=2))


def test_file_that_was_there_before_is_refused(of: JobPredictions, tmp_path: Path) -> None:
    """Wherever it stands among those that will be written."""
    (tmp_path / "tasks-00003.json").write_text("another's")
    with pytest.raises(BootstrapError, match=r"tasks-00003.json exists already, and this job has not made it"):
        write(of, opened(tmp_path, "tasks.json", tasks_per_file=2))
