"""A bulk job that is killed, interrupted or run out of disk: the same command again, and nothing is lost or done twice.

``PRELABEL_TEST_KILLS`` says how often it is killed. Each run gets a little further, so that the kills meet all stages.
"""

import base64
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bootstrap_command import draw_pictures, run, running, written
from samples import BALLOON_CONFIG, balloon_file, empty_file
from tiny_classifier import BOTH_CONFIG, CHOICES_CONFIG

from ml_backend.inference import demo_model

EVERYTHING = (
    "--config",
    "config.xml",
    "--to",
    "tasks.json",
    "--to",
    "coco:coco.json",
    "--to",
    "csv:boxes.csv",
    "--to",
    "yolo:yolo",
)

KILLS = int(os.environ.get("PRELABEL_TEST_KILLS", "6"))
DIFFERENT, SAME, BROKEN = 40 * max(6, KILLS), 10 * max(6, KILLS), 7  # pictures
DONE = {"pending": 0, "done": DIFFERENT + SAME, "failed": BROKEN, "left": 0}

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(autouse=True)
def _one_demo_model(monkeypatch: pytest.MonkeyPatch, models_dir: Path) -> None:
    """Let the demo detector be made once for all runs."""
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(models_dir))


@pytest.fixture(scope="module")
def pictures_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder of pictures, a fifth of them duplicates, and some files that are none."""
    folder = tmp_path_factory.mktemp("pictures")
    draw_pictures(folder, DIFFERENT, duplicates=SAME, broken=BROKEN)
    return folder


def make_folder(path: Path, config: str = BALLOON_CONFIG) -> Path:
    """Make a folder to run in, with a label config."""
    path.mkdir()
    (path / "config.xml").write_text(config)
    return path


@pytest.mark.parametrize(
    "configs",
    [
        pytest.param([BALLOON_CONFIG], id="boxes"),
        pytest.param([BALLOON_CONFIG, BOTH_CONFIG], id="boxes, then choices too"),
    ],
)
def test_killed_again_and_again(
    pictures_folder: Path, tmp_path: Path, tiny_classifier: Path, configs: list[str]
) -> None:
    """At random points of all its stages: what is written in the end is, byte for byte, what one run writes that nothing disturbs."""
    settings = {"PRELABEL_CACHE": "memory", "PRELABEL_CLASSIFIER": str(tiny_classifier)}
    undisturbed = make_folder(tmp_path / "undisturbed", configs[-1])
    status, told, complaint = run(str(pictures_folder), *EVERYTHING, folder=undisturbed, **settings)
    assert (status, told[-1]["total"]) == (1, DONE), complaint
    assert told[-1]["pictures"] - told[-1]["known"] >= DIFFERENT

    disturbed = make_folder(tmp_path / "disturbed")
    choose = random.Random(11)  # noqa: S311 - decides when to kill
    killed = 0
    for number in range(KILLS):
        (disturbed / "config.xml").write_text(configs[number * len(configs) // KILLS])
        with running(str(pictures_folder), *EVERYTHING, folder=disturbed, **settings) as command:
            if choose.random() < 0.85:
                command.wait_for("surveyed")
            time.sleep(choose.uniform(0, 0.8))  # the examining takes some seconds in all, the writing half a second
            killed += command.process.poll() is None
    assert killed >= KILLS / 2, "the job was done before it could be killed"
    status, told, complaint = run(str(pictures_folder), *EVERYTHING, folder=disturbed, **settings)
    assert (status, told[-1]["total"]) == (1, DONE), complaint
    assert written(disturbed) == written(undisturbed)


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGINT, id="Ctrl-C"),
        pytest.param(signal.SIGTERM, id="SIGTERM", marks=pytest.mark.slow),
    ],
)
def test_interrupted(pictures_folder: Path, tmp_path: Path, number: signal.Signals) -> None:
    """It ends within seconds, says what was done and how to go on, keeps that, and goes on from there."""
    folder = make_folder(tmp_path / "folder")
    with running(str(pictures_folder), *EVERYTHING, folder=folder) as command:
        assert command.wait_for("progress")
        command.process.send_signal(number)
        asked = time.monotonic()
        status, told, complaint = command.end()
        assert time.monotonic() - asked < 60
    assert (status, complaint) == (130, "")
    assert told[-1]["event"] == "ended"
    assert told[-1]["total"]["pending"] > 0
    assert "the same command goes on" in told[-1]["advice"]
    assert not (folder / "tasks.json").exists()
    before = told[-1]["total"]
    status, told, complaint = run(str(pictures_folder), *EVERYTHING, folder=folder)
    assert (told[0]["done"], told[0]["failed"]) == (before["done"], before["failed"])
    assert before["done"] + before["failed"] > 0
    assert told[-1]["total"] == DONE


@pytest.mark.slow
def test_reader_that_goes_away(tmp_path: Path) -> None:
    """As ``| head -1`` does: it ends without a word, with the status of SIGPIPE, and the same command goes on."""
    draw_pictures(tmp_path / "pictures", 100)
    folder = make_folder(tmp_path / "folder")
    with running("../pictures", *EVERYTHING, folder=folder) as command:
        assert next(command.events())["event"] == "surveyed"
        assert command.process.stdout is not None
        command.process.stdout.close()
        status, told, complaint = command.end()
    assert (status, told, complaint) == (141, [], "")
    assert not (folder / "tasks.json").exists()
    status, told, complaint = run("../pictures", *EVERYTHING, folder=folder)
    assert (status, complaint) == (0, "")
    assert told[0]["done"] > 0, "what was done was kept"
    assert told[-1]["total"] == {"pending": 0, "done": 100, "failed": 0, "left": 0}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_output_that_cannot_be_written(tmp_path: Path) -> None:
    """A sentence says why, and the checkpoint stays."""
    draw_pictures(tmp_path / "pictures", 1)
    folder = make_folder(tmp_path / "folder")
    with Path("/dev/full").open("w") as full:
        failed = subprocess.run(
            [sys.executable, "-m", "ml_backend", "bootstrap", "../pictures", *EVERYTHING, "--json-lines"],
            cwd=folder,
            env=os.environ | {"PRELABEL_MODEL": "demo"},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (failed.returncode, failed.stderr.count("\n")) == (2, 1)
    assert "standard output cannot be written: No space left on device; what is done is kept" in failed.stderr


@pytest.mark.slow
def test_disk_full(pictures_folder: Path, tmp_path: Path) -> None:
    """No room for the checkpoint: it stops with the reason; with room again, the same command goes on from what was kept."""
    folder = make_folder(tmp_path / "folder")
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)); from ml_backend.cli import app; app()"
    failed = subprocess.run(
        [sys.executable, "-c", limited, "bootstrap", str(pictures_folder), *EVERYTHING, "--quiet"],
        cwd=folder,
        env=os.environ | {"PRELABEL_MODEL": "demo", "PRELABEL_CACHE": "memory"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert failed.returncode == 2, failed.stderr
    assert "cannot be written" in failed.stderr
    assert "Traceback" not in failed.stderr
    status, told, complaint = run(str(pictures_folder), *EVERYTHING, folder=folder)
    assert (status, complaint) == (1, "")
    assert told[-1]["total"] == DONE


def test_failures_are_tried_again_alone(tmp_path: Path) -> None:
    """Mended pictures join the output in their place; without the option, failures stay failures and cost nothing."""
    pictures, folder = tmp_path / "pictures", make_folder(tmp_path / "folder")
    draw_pictures(pictures, 6, broken=2)
    status, told, _ = run("../pictures", *EVERYTHING, folder=folder)
    listed = (folder / "tasks.json.failures.csv").read_text().splitlines()
    assert (status, len(listed)) == (1, 3)
    assert listed[1].startswith("broken-00000.png,")
    assert "not a known image format" in listed[1]
    status, told, _ = run("../pictures", *EVERYTHING, folder=folder)
    assert (status, told[-1]["items"]) == (1, 0)
    broken = pictures / "broken-00000.png"
    before = broken.stat()
    broken.write_bytes((pictures / "picture-00003.png").read_bytes())
    os.utime(broken, ns=(before.st_atime_ns, before.st_mtime_ns))
    status, told, _ = run("../pictures", *EVERYTHING, "--retry-failures", folder=folder)
    assert (status, told[-1]["items"], told[-1]["failed"]) == (1, 2, 1)
    assert (folder / "tasks.json").read_text().count('"data"') == 7


def test_source_that_changes(tmp_path: Path) -> None:
    """New pictures are taken in after the others, changed ones are looked at again, and those that are gone stay as they were."""
    pictures, folder = tmp_path / "pictures", make_folder(tmp_path / "folder")
    draw_pictures(pictures, 5)
    run("../pictures", *EVERYTHING, folder=folder)
    (pictures / "a-new.png").write_bytes((pictures / "picture-00000.png").read_bytes() + b"\n")
    (pictures / "picture-00001.png").write_bytes((pictures / "picture-00002.png").read_bytes() + b"\n\n")
    (pictures / "picture-00004.png").unlink()
    status, told, _ = run("../pictures", *EVERYTHING, folder=folder)
    assert (status, told[-1]["items"]) == (0, 2)
    names = [line.partition(",")[0] for line in (folder / "boxes.csv").read_text().splitlines()]
    assert names[-1] == "a-new.png"
    assert "picture-00004.png" in names


def images_in(folder: Path) -> dict[str, list[str]]:
    """Return the images that each output of a folder has."""
    tasks = json.loads((folder / "tasks.json").read_text())
    coco = json.loads((folder / "coco.json").read_text())
    return {
        "tasks": [task["data"]["image"] for task in tasks],
        "coco": [image["file_name"] for image in coco["images"]],
        "yolo": sorted(path.stem for path in (folder / "yolo" / "labels").rglob("*.txt")),
    }


def test_edited_row_of_a_table_replaces_its_task(tmp_path: Path) -> None:
    """No picture is looked at again, and rows with one image stay apart."""
    folder = make_folder(tmp_path / "folder")
    addresses = [f"data:image/png;base64,{base64.b64encode(file).decode()}" for file in (balloon_file(), empty_file())]
    table = folder / "table.csv"

    def tasks_of(*rows: tuple[int, str]) -> tuple[list[tuple[str, str]], dict[str, Any]]:
        table.write_text("image,note\n" + "".join(f'"{addresses[n]}",{note}\n' for n, note in rows))
        status, told, complaint = run("table.csv", *EVERYTHING, folder=folder)
        assert (status, complaint) == (0, "")
        tasks = json.loads((folder / "tasks.json").read_text())
        return [(task["data"]["image"], task["data"]["note"]) for task in tasks], told[-1]

    tasks_of((0, "a"), (1, "b"), (1, "c"))
    tasks, ended = tasks_of((0, "edited"), (1, "b"), (1, "also edited"))
    assert tasks == [(addresses[0], "edited"), (addresses[1], "b"), (addresses[1], "also edited")]
    assert ended["pictures"] == 0


def test_pictures_that_are_gone(tmp_path: Path) -> None:
    """They stay in all outputs, and are counted, until somebody wants them left out."""
    pictures, folder = tmp_path / "pictures", make_folder(tmp_path / "folder")
    draw_pictures(pictures, 3)
    run("../pictures", *EVERYTHING, folder=folder)
    before = images_in(folder)
    (pictures / "picture-00001.png").unlink()
    _, told, _ = run("../pictures", *EVERYTHING, folder=folder)
    assert (told[0]["done"], told[0]["missing"], told[0]["left_out"]) == (3, 1, 0)
    assert images_in(folder) == before
    status, told, complaint = run("../pictures", *EVERYTHING, "--leave-out-missing", folder=folder)
    assert (status, complaint) == (0, "")
    assert (told[0]["done"], told[0]["missing"], told[0]["left_out"]) == (2, 0, 1)
    assert images_in(folder) == {kind: [images[0], images[2]] for kind, images in before.items()}
    assert "picture-00001" not in (folder / "boxes.csv").read_text()


@dataclass(frozen=True)
class Step:
    """One run of a job: its label config, its models, and whether it goes on or the name of what has changed."""

    config: str
    detector: str = ""
    classifier: str = ""
    refused: str = ""


BOXES = BALLOON_CONFIG
ONE, OTHER = "one", "other"


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([Step(BOXES, ONE), Step(BOXES, ONE, ONE)], id="a classifier is set that the job does not use"),
        pytest.param([Step(BOXES, ONE, ONE), Step(BOXES, ONE, OTHER)], id="another classifier that it does not use"),
        pytest.param([Step(CHOICES_CONFIG, ONE, ONE), Step(CHOICES_CONFIG, OTHER, ONE)], id="another detector that it does not use"),
        pytest.param([Step(BOXES, ONE), Step(BOXES, OTHER, refused="detector")], id="another detector"),
        pytest.param([Step(CHOICES_CONFIG, "", ONE), Step(CHOICES_CONFIG, "", OTHER, refused="classifier")], id="another classifier"),
        pytest.param(
            [Step(BOXES, ONE), Step(CHOICES_CONFIG, OTHER, ONE, refused="detector"), Step(CHOICES_CONFIG, "", ONE), Step(BOXES, ONE, ONE)],
            id="another detector than that of the boxes, which the choices do not need",
        ),
        pytest.param(
            [Step(BOTH_CONFIG, ONE, ONE), Step(BOXES, ONE, OTHER, refused="classifier"), Step(BOXES, ONE), Step(BOTH_CONFIG, ONE, ONE)],
            id="another classifier than that of the choices, which the boxes do not need",
        ),
        pytest.param(
            [Step(CHOICES_CONFIG, ONE, ONE), Step(BOTH_CONFIG, OTHER, ONE), Step(BOTH_CONFIG, ONE, ONE, refused="detector")],
            id="the first detector whose boxes were needed counts",
        ),
    ],
)  # fmt: skip
def test_models_of_a_job(tmp_path: Path, tiny_classifier: Path, models_dir: Path, steps: list[Step]) -> None:
    """A job goes on with the models whose results it has; others that are loaded are no part of it."""
    draw_pictures(tmp_path / "pictures", 2)
    folder = make_folder(tmp_path / "folder")
    detectors = {"": "", ONE: "demo", OTHER: str(tmp_path / "other-detector")}
    classifiers = {"": "", ONE: str(tiny_classifier), OTHER: str(tmp_path / "other-classifier")}
    shutil.copytree(demo_model.build(models_dir), detectors[OTHER])
    shutil.copytree(tiny_classifier, classifiers[OTHER])
    kinds = {BOXES: {"rectanglelabels"}, CHOICES_CONFIG: {"choices"}, BOTH_CONFIG: {"rectanglelabels", "choices"}}
    known: set[str] = set()
    for step in steps:
        (folder / "config.xml").write_text(step.config)
        settings = {"PRELABEL_MODEL": detectors[step.detector], "PRELABEL_CLASSIFIER": classifiers[step.classifier]}
        options = ("--config", "config.xml", "--to", "tasks.json")
        status, told, complaint = run("../pictures", *options, folder=folder, PRELABEL_CACHE="none", **settings)
        if step.refused:
            assert status == 2, told
            assert f"is the checkpoint of another job: its {step.refused} was " in complaint
            continue
        assert (status, complaint, told[-1]["total"]["done"]) == (0, "", 2)
        assert bool(told[-1]["items"]) == bool(kinds[step.config] - known), "nothing is computed twice"
        known |= kinds[step.config]
        tasks = json.loads((folder / "tasks.json").read_text())
        types = {region["type"] for task in tasks for region in task["predictions"][0]["result"]}
        assert types == kinds[step.config]
