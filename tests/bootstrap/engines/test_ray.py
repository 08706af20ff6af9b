"""The Ray engine gives what the local one gives, byte for byte, whatever dies meanwhile; real Ray clusters on this machine.

``PRELABEL_TEST_KILLS`` says how often the driver is killed; a start of Ray takes 15 to 30 s on two cores.
"""

from __future__ import annotations

import importlib
import os
import pickle
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from bootstrap_command import Bootstrap, draw_pictures, run, run_apart, running, written
from bootstrap_jobs import item, item_of_file
from picture_server import Answer, PictureServer
from samples import BALLOON_CONFIG, balloon_file, empty_file
from tiny_classifier import BOTH_CONFIG

from ml_backend.bootstrap.checkpoint import Checkpoint
from ml_backend.bootstrap.engines.local import LocalEngine
from ml_backend.bootstrap.items import Failure, Needs, Outcome
from ml_backend.demo.scenes import draw_scene, encode
from ml_backend.errors import BootstrapError
from ml_backend.label_studio.controls.control import ImageField
from ml_backend.model_results import ModelKind
from ml_backend.settings import Settings

if TYPE_CHECKING:
    from ml_backend.inference.detector import Detector

pytest.importorskip("ray", reason="needs the extra prelabel[ray]")

KILLS = int(os.environ.get("PRELABEL_TEST_KILLS", "3"))
EVERYTHING = ("--config", "config.xml", "--to", "tasks.json", "--to", "coco:coco.json")
NEEDS: Needs = {ImageField("image", is_list=False): ["detector"]}
RAY = ("--engine", "ray", "--workers")


@pytest.fixture(autouse=True)
def ray_folder(monkeypatch: pytest.MonkeyPatch, models_dir: Path) -> Iterator[Path]:
    """Give the folder in which Ray keeps logs and sockets, whose names must be short; the demo detector is made once for all runs."""
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    monkeypatch.setenv("RAY_TMPDIR", str(folder))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(models_dir))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder of 60 drawn scenes, ten of which are there twice, and a file that is no picture."""
    folder = tmp_path_factory.mktemp("scenes")
    for number in range(60):
        (folder / f"scene-{number:02}.jpg").write_bytes(encode(draw_scene(number % 50)[0]))
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder to run in, with a label config."""
    return make_folder(tmp_path / "folder")


def make_folder(path: Path, config: str = BALLOON_CONFIG) -> Path:
    """Make a folder to run in, with a label config."""
    path.mkdir()
    (path / "config.xml").write_text(config)
    return path


@pytest.fixture(scope="module")
def expected(scenes: Path, tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> dict[str, bytes]:
    """Give what the local engine writes about the scenes."""
    folder = make_folder(tmp_path_factory.mktemp("expected") / "local")
    settings = {"PRELABEL_CACHE": "memory", "TFHUB_CACHE_DIR": str(models_dir)}
    status, told, complaint = run(str(scenes), *EVERYTHING, folder=folder, **settings)
    assert (status, told[-1]["total"]["done"], told[-1]["total"]["failed"]) == (1, 60, 1), complaint
    return written(folder)


def processes_of(command: Bootstrap) -> dict[int, str]:
    """Return what runs in the session of a command, by process id."""
    found = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
            line = status.with_name("cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if int(fields[3]) == command.process.pid and fields[0] != "Z":
            found[int(status.parent.name)] = line
    return found


def assert_nothing_left(command: Bootstrap) -> None:
    """See that no process of a command's session is left after a minute."""
    end = time.monotonic() + 60
    while processes_of(command) and time.monotonic() < end:
        time.sleep(0.1)
    assert processes_of(command) == {}


class TestOnACluster:
    """Real runs."""

    pytestmark = pytest.mark.timeout(300 + 60 * KILLS)

    def test_same_output_with_both_models(self, scenes: Path, tmp_path: Path, tiny_classifier: Path) -> None:
        """Boxes first, choices later: what is written is what the local engine writes at once."""
        (folder, local) = (make_folder(tmp_path / name, BOTH_CONFIG) for name in ("ray", "local"))
        settings = {"PRELABEL_CACHE": "memory", "PRELABEL_CLASSIFIER": str(tiny_classifier)}
        everything = (str(scenes), *EVERYTHING, "--to", "csv:table.csv")
        status, _, complaint = run(*everything, folder=local, **settings)
        assert (status, complaint) == (1, "")
        (folder / "config.xml").write_text(BALLOON_CONFIG)
        assert run(str(scenes), *EVERYTHING, folder=folder, PRELABEL_CACHE="memory")[0] == 1
        (folder / "config.xml").write_text(BOTH_CONFIG)
        with running(*everything, *RAY, "2", folder=folder, **settings) as command:
            status, told, complaint = command.end()
            assert_nothing_left(command)
        assert (status, complaint) == (1, "")
        assert (told[-1]["items"], told[-1]["total"]["done"]) == (60, 60)
        assert written(folder) == written(local)

    def test_same_output(self, scenes: Path, folder: Path, expected: dict[str, bytes]) -> None:
        """Duplicates and a broken picture included; no process is left, and nothing is said that is not ours."""
        with running(str(scenes), *EVERYTHING, *RAY, "2", folder=folder, PRELABEL_CACHE="memory") as command:
            status, told, complaint = command.end()
            assert_nothing_left(command)
        assert (status, complaint) == (1, "")
        assert (told[-1]["items"], told[-1]["failed"]) == (61, 1)
        assert written(folder) == expected

    @pytest.mark.slow
    def test_worker_is_killed(self, scenes: Path, folder: Path, expected: dict[str, bytes]) -> None:
        """With SIGKILL, with pages in its hands: nothing is lost, nothing is counted twice, and the output is the same."""
        with running(str(scenes), *EVERYTHING, *RAY, "2", folder=folder, PRELABEL_CACHE="memory") as command:
            assert command.wait_for("progress")
            workers = [pid for pid, line in processes_of(command).items() if "MapWorker" in line]
            os.kill(workers[0], signal.SIGKILL)
            status, told, complaint = command.end()
            assert_nothing_left(command)
        assert (status, complaint) == (1, "")
        assert (told[-1]["items"], told[-1]["failed"]) == (61, 1)
        assert written(folder) == expected

    @pytest.mark.slow
    def test_driver_is_killed_and_interrupted(self, tmp_path: Path) -> None:
        """Again and again, with all of Ray: each run goes on from what was kept, leaves no process, and the output is the same."""
        pictures = tmp_path / "pictures"
        draw_pictures(pictures, 80 * (KILLS + 3), duplicates=20 * (KILLS + 3), broken=7)
        undisturbed, disturbed = make_folder(tmp_path / "local"), make_folder(tmp_path / "ray")
        run(str(pictures), *EVERYTHING, folder=undisturbed, PRELABEL_CACHE="memory")
        arguments = (str(pictures), *EVERYTHING, *RAY, "1")
        choose = random.Random(5)  # noqa: S311 - when to kill is no secret
        killed, done = 0, []
        for _ in range(KILLS):
            with running(*arguments, folder=disturbed, PRELABEL_CACHE="memory") as command:
                done.append(next(command.events())["done"])
                if choose.random() < 0.8:
                    command.wait_for("progress")
                    time.sleep(choose.uniform(0, 0.5))
                else:
                    time.sleep(choose.uniform(0, 15))
                killed += command.process.poll() is None
                command.kill()
                assert_nothing_left(command)
        for number in (signal.SIGTERM, signal.SIGINT):
            with running(*arguments, folder=disturbed, PRELABEL_CACHE="memory") as command:
                done.append(next(command.events())["done"])
                assert command.wait_for("progress")
                command.process.send_signal(number)
                asked = time.monotonic()
                status, told, complaint = command.end()
                assert time.monotonic() - asked < 60
                assert_nothing_left(command)
            assert (status, complaint) == (130, "")
            assert told[-1]["total"]["pending"] > 0
            assert "the same command goes on" in told[-1]["advice"]
        status, told, complaint = run_apart(*arguments, folder=disturbed, PRELABEL_CACHE="memory")
        done.append(told[0]["done"])
        print(f"killed {killed} times, interrupted twice; done before each run: {done}")  # noqa: T201 - a measure to report
        assert killed >= 0.9 * KILLS
        assert done == sorted(done)
        assert (status, complaint) == (1, "")
        assert told[-1]["total"] == {"pending": 0, "done": 100 * (KILLS + 3), "failed": 7, "left": 0}
        assert written(disturbed) == written(undisturbed)

    @pytest.mark.slow
    def test_token_is_refused(self, folder: Path, pictures: PictureServer, ray_folder: Path) -> None:
        """It stops with a sentence that says what to do, without a trace of Ray; and the token stands in no log."""
        pictures.add("/data/upload/1/a.jpg", Answer(status=401))
        (folder / "addresses.txt").write_text(f"{pictures.url}/data/upload/1/a.jpg\n")
        secret = "0123456789secret"
        status, _, complaint = run_apart(
            "addresses.txt",
            *EVERYTHING,
            *RAY,
            "1",
            folder=folder,
            LABEL_STUDIO_URL=pictures.url,
            LABEL_STUDIO_API_KEY=secret,
        )
        assert status == 2
        assert "run the same command again" in complaint
        assert "Traceback" not in complaint
        assert "ray" not in complaint.lower()
        logs = [path for path in ray_folder.rglob("*") if path.is_file()]
        assert len(logs) > 10
        assert not [path for path in logs if secret.encode() in path.read_bytes()]


def test_ray_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to install."""
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "ml_backend.bootstrap.engines.ray", raising=False)
    with pytest.raises(BootstrapError, match=r"pip install 'prelabel\[ray\]'"):
        importlib.import_module("ml_backend.bootstrap.engines.ray")


def surveyed(checkpoint: Checkpoint, number: int) -> Checkpoint:
    """Fill a checkpoint with items that are all pending."""
    checkpoint.survey((item(f"{n:05}.jpg") for n in range(number)), sort=False)
    return checkpoint


def positions_of(read: Any) -> list[list[int]]:
    """Return the positions on each page that one read task gives."""
    pages = [pickle.loads(page["items"][0].as_py()) for page in read()]  # noqa: S301 - written by the test's own process
    return [[pending.position for pending in page] for page in pages]


class TestPages:
    """How the checkpoint is read."""

    def test_each_item_stands_on_one_page(self, checkpoint: Checkpoint) -> None:
        """In order, with no more than 64 on a page, and several pages for each worker."""
        from ml_backend.bootstrap.engines.ray import Pages

        surveyed(checkpoint, 5000)
        pages = Pages(checkpoint.path, 5000, 4)
        read = [page for task in pages.reads for page in positions_of(task)]
        assert [position for page in read for position in page] == [each.position for each in checkpoint.pending()]
        assert {len(page) for page in read[:-1]} == {64}
        assert pages.number == len(read)
        assert Pages(checkpoint.path, 5000, 100).number >= 800

    def test_page_that_is_read_again_keeps_its_place(self, checkpoint: Checkpoint) -> None:
        """What was recorded meanwhile is left out, and the rest stands where it stood: Ray knows a page by its number."""
        from ml_backend.bootstrap.engines.ray import Pages

        surveyed(checkpoint, 100)
        (task,) = Pages(checkpoint.path, 100, 1).reads
        before = positions_of(task)
        done = {position for page in before[:3] for position in page[1:]} | set(before[5])
        checkpoint.record([Outcome(position, {}, Failure("broken", "broken")) for position in sorted(done)])
        assert positions_of(task) == [[position for position in page if position not in done] for page in before]


def test_other_detector_on_a_node(models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its worker says so with the first page instead of finding other things."""
    from ml_backend.bootstrap.engines.ray import Worker

    monkeypatch.setattr("ray.get", lambda reference: reference)
    settings = Settings(model="demo", tfhub_cache_dir=models_dir, cache="none")
    worker = Worker(settings, {"detector": "0" * 64}, NEEDS)
    page = pickle.dumps([item("a.jpg")])
    assert "another detector than here" in worker({"items": [page]})["problem"][0]


def test_unforeseen_error_in_a_worker_is_a_failure_of_its_item(
    demo_detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of its page is looked at."""
    from ml_backend.bootstrap.engines.ray import Worker

    def stumble(pixels: Any) -> Any:
        if pixels.shape[1] == 64:
            raise KeyError("boxes")
        return demo_detector.function(pixels)

    monkeypatch.setattr("ray.get", lambda reference: reference)
    stumbling = replace(demo_detector, function=stumble)
    monkeypatch.setattr("ml_backend.inference.detector.Detector.load", lambda *_, **__: stumbling)
    for name, data in (("good.png", balloon_file()), ("bad.png", empty_file())):
        (tmp_path / name).write_bytes(data)
    items = [item_of_file(path, tmp_path) for path in sorted(tmp_path.glob("*.png"))]
    worker = Worker(Settings(model="demo", cache="none"), {"detector": demo_detector.fingerprint}, NEEDS)
    answer = worker({"items": [pickle.dumps([replace(each, position=number) for number, each in enumerate(items)])]})
    worker._wait_for(worker._opened.__aexit__(None, None, None))  # noqa: SLF001 - Ray ends the process instead
    outcomes = sorted(pickle.loads(answer["outcomes"][0]), key=lambda outcome: outcome.position)  # noqa: S301 - written by the test's own process
    assert answer["problem"] == [""]
    assert [outcome.failure and outcome.failure.code for outcome in outcomes] == ["internal", None]


@pytest.mark.parametrize(
    ("needed", "loaded"),
    [(["detector"], ["detector"]), (["classifier"], ["classifier"]), (["detector", "classifier"],) * 2],
    ids=["boxes", "choices", "both"],
)
def test_workers_load_what_is_needed(
    tiny_classifier: Path, models_dir: Path, needed: list[ModelKind], loaded: list[ModelKind]
) -> None:
    """A classifier that was set for other projects is no part of a job of boxes, on no node."""
    from ml_backend.bootstrap.engines.ray import RayEngine
    from ml_backend.inference.models import Models

    settings = Settings(model="demo", classifier=str(tiny_classifier), tfhub_cache_dir=models_dir, cache="none")
    models = Models.load(settings)
    engine = RayEngine(settings, models.chosen(needed), 1)
    assert [model.kind for model in Models.load(engine._settings).all] == loaded  # noqa: SLF001 - workers get them
    assert sorted(engine._fingerprints) == sorted(loaded)  # noqa: SLF001 - and these


def test_worker_computes_only_what_lacks(
    tiny_classifier: Path, models_dir: Path, checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Boxes are in the checkpoint, which is on another node: the page says so, and the detector does not run."""
    from ml_backend.bootstrap.engines.ray import Pages, Worker
    from ml_backend.inference.models import Models

    (tmp_path / "a.png").write_bytes(balloon_file())
    settings = Settings(model="demo", classifier=str(tiny_classifier), tfhub_cache_dir=models_dir, cache="none")
    models = Models.load(settings)
    checkpoint.survey([item_of_file(tmp_path / "a.png", tmp_path)], sort=False)
    LocalEngine(settings, models).run(checkpoint, NEEDS, checkpoint.record)
    both: Needs = {ImageField("image", is_list=False): ["detector", "classifier"]}
    assert checkpoint.require(both) == 1
    (read,) = Pages(checkpoint.path, 1, 1).reads
    ((page,),) = (table["items"].to_pylist() for table in read())
    monkeypatch.setattr("ray.get", lambda reference: reference)
    worker = Worker(settings, {model.kind: model.fingerprint for model in models.all}, both)
    answer = worker({"items": [page]})
    worker._wait_for(worker._opened.__aexit__(None, None, None))  # noqa: SLF001 - Ray ends the process instead
    outcomes: list[Outcome] = pickle.loads(answer["outcomes"][0])  # noqa: S301 - written by the test's own process
    assert [image.kinds for outcome in outcomes for image in outcome.images["image"]] == [{"classifier"}]
    checkpoint.record(outcomes)
    assert checkpoint.require(both) == 0
    assert checkpoint.counts().done == 1


def test_no_client_of_a_cluster(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's client would read the checkpoint on another machine; the message says from where to start."""
    from ml_backend.bootstrap.engines.ray import RayEngine

    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    surveyed(checkpoint, 3)
    with pytest.raises(BootstrapError, match="on a node of the cluster"):
        RayEngine(Settings(model="demo"), [], 2).run(checkpoint, NEEDS, keep=lambda _: None)
