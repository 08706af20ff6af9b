from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bootstrap_jobs import balloon, item, write
from samples import BALLOON_CONFIG

from ml_backend.bootstrap.existing_tasks import ExistingTaskPolicy
from ml_backend.bootstrap.items import PredictedItem
from ml_backend.bootstrap.job import JobPredictions
from ml_backend.bootstrap.sinks.registry import open_sink
from ml_backend.bootstrap.sinks.sink import Sink, SinkOptions, WriteContext, replaced, replaced_folder, write_all
from ml_backend.errors import BootstrapError
from ml_backend.label_studio.label_config import parse_label_config
from ml_backend.settings import Settings

JobOf = Callable[..., JobPredictions]
CONTROLS = parse_label_config(BALLOON_CONFIG)[0]
OPTIONS = SinkOptions(Settings(cache="none"), controls=CONTROLS)
EVERY = ["out.json", "coco:out.json", "yolo:out", "csv:out.csv", "preview:out"]


class BrokenOff:
    """Predictions that end with an error."""

    def __init__(self, predictions: JobPredictions) -> None:
        self.predictions = predictions

    def __iter__(self) -> Iterator[PredictedItem]:
        yield from self.predictions
        raise BootstrapError("the checkpoint is gone")


def names_in(folder: Path) -> list[str]:
    """Return everything in a folder, at any depth."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def open_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Sink]:
    """Give a function that opens a destination in a folder of its own."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return lambda text: open_sink(text, OPTIONS)


@pytest.mark.parametrize("text", EVERY)
def test_error_leaves_what_was_there(job: JobOf, open_here: Callable[[str], Sink], text: str) -> None:
    """Nothing at first, then all of the run before; never a half, and no drafts."""
    sink = open_here(text)
    assert sink.output is not None
    broken = BrokenOff(job((item("a"), balloon())))
    with pytest.raises(BootstrapError, match="the checkpoint is gone"):
        write(sink, broken.predictions, broken)
    assert names_in(Path()) == []
    write(sink, job((item("b"), balloon()), (item("c"), balloon())))
    before = {name: Path(name).read_bytes() for name in names_in(Path()) if Path(name).is_file()}
    with pytest.raises(BootstrapError, match="the checkpoint is gone"):
        write(sink, broken.predictions, broken)
    assert {name: Path(name).read_bytes() for name in names_in(Path()) if Path(name).is_file()} == before


def test_all_sinks_take_the_same_predictions(job: JobOf, tmp_path: Path) -> None:
    """Each item is predicted once, however many sinks there are, and each file is what a pass of its own would give."""
    of = job(*((item(f"{n}"), balloon(width=100 + n)) for n in range(30)))
    passes = 0

    class Counted:
        def __iter__(self) -> Iterator[PredictedItem]:
            nonlocal passes
            passes += 1
            return iter(of)

    def opened(folder: str) -> list[Sink]:
        names = {"": "tasks.json", "coco:": "coco.json", "yolo:": "yolo", "csv:": "boxes.csv"}
        return [open_sink(f"{prefix}{tmp_path / folder / name}", OPTIONS) for prefix, name in names.items()]

    context = WriteContext(len(of), of.checkpoint, ExistingTaskPolicy(of.version))
    sentences = [sentence for _, sentence in write_all(opened("together"), Counted(), context)]
    assert (passes, len(sentences)) == (1, 4)
    for sink in opened("alone"):
        write(sink, of)
    together, alone = tmp_path / "together", tmp_path / "alone"
    assert names_in(together) == names_in(alone)
    for path in together.rglob("*"):
        assert path.is_dir() or path.read_bytes() == (alone / path.relative_to(together)).read_bytes()


def test_sink_that_fails_leaves_the_others_as_they_were(job: JobOf, tmp_path: Path) -> None:
    """None of them is complete yet: no file is replaced, and no draft stays."""
    (tmp_path / "tasks.json").write_text("before")
    (tmp_path / "file").touch()
    of = job((item("a"), balloon()))
    sinks = [open_sink(str(tmp_path / name), OPTIONS) for name in ("tasks.json", "file/tasks.json")]
    before = names_in(tmp_path)
    with pytest.raises(BootstrapError, match="cannot be written"):
        list(write_all(sinks, of, WriteContext(len(of), of.checkpoint, ExistingTaskPolicy(of.version))))
    assert names_in(tmp_path) == before
    assert (tmp_path / "tasks.json").read_text() == "before"


@pytest.mark.parametrize("text", EVERY)
def test_place_that_cannot_be_written(job: JobOf, open_here: Callable[[str], Sink], text: str) -> None:
    """A file stands where the folder should be: it is said what to do."""
    Path("file").touch()
    kind, _, name = text.rpartition(":")
    sink = open_here(f"{kind}:file/{name}" if kind else f"file/{name}")
    with pytest.raises(BootstrapError, match=r"file/out.* cannot be written: .*run the same command again"):
        write(sink, job((item("a"), balloon())))


@pytest.mark.parametrize(("text", "wrong"), [("out.json", "folder"), ("csv:out", "folder"), ("yolo:out", "file")])
def test_something_else_in_its_place(job: JobOf, open_here: Callable[[str], Sink], text: str, wrong: str) -> None:
    """A folder where a file goes, or the other way round: it stays."""
    sink = open_here(text)
    assert sink.output is not None
    if wrong == "folder":
        (sink.output / "precious").mkdir(parents=True)
    else:
        sink.output.write_text("precious")
    before = names_in(Path())
    with pytest.raises(BootstrapError, match="cannot be written"):
        write(sink, job((item("a"), balloon())))
    assert names_in(Path()) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_full_disk(tmp_path: Path) -> None:
    """A sentence, no draft."""
    path = tmp_path / "out.json"
    path.write_text("before")
    (tmp_path / "out.json.part").symlink_to("/dev/full")
    with (
        pytest.raises(BootstrapError, match="No space left on device; the checkpoint has all results"),
        replaced(path) as file,
    ):
        file.write("x" * 100_000)
    assert path.read_text() == "before"
    assert names_in(tmp_path) == ["out.json"]


def test_folders_are_made(tmp_path: Path) -> None:
    """As deep as they are named."""
    with replaced(tmp_path / "a" / "b.json") as file:
        file.write("x")
    with replaced_folder(tmp_path / "c" / "d") as folder:
        (folder / "e").touch()
    assert names_in(tmp_path) == ["a", "a/b.json", "c", "c/d", "c/d/e"]


def test_interrupt_leaves_what_was_there(tmp_path: Path) -> None:
    """Ctrl-C while it is written."""
    with replaced(tmp_path / "a") as file:
        file.write("before")
    with pytest.raises(KeyboardInterrupt), replaced(tmp_path / "a") as file:
        raise KeyboardInterrupt
    assert (names_in(tmp_path), (tmp_path / "a").read_text()) == (["a"], "before")


def test_draft_of_a_killed_run_is_no_obstacle(tmp_path: Path) -> None:
    """It lies there, and goes."""
    (tmp_path / "out.part").mkdir()
    (tmp_path / "out.part" / "half").touch()
    (tmp_path / "file.part").write_text("half" * 1000)
    with replaced_folder(tmp_path / "out") as folder:
        (folder / "whole").touch()
    with replaced(tmp_path / "file") as file:
        file.write("whole")
    assert names_in(tmp_path) == ["file", "out", "out/whole"]
    assert (tmp_path / "file").read_text() == "whole"


def test_links_in_a_folder_are_not_followed(tmp_path: Path) -> None:
    """What goes is the link, never the picture."""
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.jpg").touch()
    for _ in range(2):
        with replaced_folder(tmp_path / "out") as folder:
            (folder / "link").symlink_to(tmp_path / "pictures")
    assert (tmp_path / "pictures" / "a.jpg").exists()
