"""Answers and files of an earlier version: whatever is moved, renamed or rewritten, these stay byte for byte as they were recorded.

``tests/recorded`` holds three files that the code of then has written, a cache, a journal of a bulk job and a database of corrections,
and the answers that it gave from them. No picture is run through the detector here, so what processors compute differently does not show.
What it had found is on twelve photographs. Neither they nor the detector are needed, so they have stand-ins, whose digests the files hold in
place of theirs: images that are drawn (``tests/stand_ins.py``), and a detector that finds nothing. ``tests/record_unchanged.py`` records the
answers anew; run it only where a change of answers is meant.
"""

import asyncio
import hashlib
import json
import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from stand_ins import SIZES, write_stand_ins
from typer.testing import CliRunner

from ml_backend.cli.common import app
from ml_backend.feedback.learning.revisions import CurrentRevisions
from ml_backend.feedback.store.database import Database
from ml_backend.inference.detector import Detector
from ml_backend.inference.models import Models
from ml_backend.pipeline.prediction import Pipeline
from ml_backend.postprocessing.overrides import NO_OVERRIDES, LabelOverrides
from ml_backend.settings import VARIABLES, Settings

RECORDED = Path(__file__).parent / "recorded"
CACHE, JOURNAL, CORRECTIONS = "cache.sqlite3", "journal.sqlite3", "feedback.sqlite3"
DETECTOR = "openimages-subset-detector-savedmodel"
PHOTOGRAPHS = tuple(SIZES)

CONFIGS = {
    "hierarchy and thresholds": (
        '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image" model_score_threshold="0.4">'
        '<Label value="Vehicle"/><Label value="car"/><Label value="Animal" model_score_threshold="0.2"/>'
        '<Label value="human"/><Label value="Furniture" model_hierarchy="false"/></RectangleLabels></View>'
    ),
    "pair": (
        '<View><Image name="image" value="$image"/><Rectangle name="box" toName="image" model_nms_iou="0.4"/>'
        '<Labels name="what" toName="image"><Label value="Person"/><Label value="Horse"/><Label value="Cattle"/>'
        '<Label value="Car"/></Labels></View>'
    ),
    "aliases, listed classes and skipped ones": (
        '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
        '<Label value="Lorry" alias="heavy"/><Label value="Coach" alias="heavy" predicted_values="Bus,/m/07jdr"/>'
        '<Label value="Herd" predicted_values="elephant, Giraffe,zebra"/><Label value="Person" model_skip="true"/>'
        '<Label value="Tierchen" alias="Animal"/></RectangleLabels></View>'
    ),
    "several images": (
        '<View><Image name="pages" valueList="$pages"/><Image name="image" value="$image"/>'
        '<RectangleLabels name="on_pages" toName="pages"><Label value="Animal"/><Label value="Person"/></RectangleLabels>'
        '<RectangleLabels name="on_image" toName="image"><Label value="Land vehicle"/></RectangleLabels></View>'
    ),
    "across labels, limits": (
        '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image" model_score_threshold="0.05" '
        'model_nms_across_labels="true" model_nms_iou="0.5" model_min_area="0.5" model_max_regions="4">'
        '<Label value="Truck"/><Label value="Car"/><Label value="Horse"/><Label value="Cattle"/><Label value="Person"/>'
        "</RectangleLabels></View>"
    ),
}
UNSERVED_CONFIG = "<View><Text name='text' value='$text'/></View>"
TAUGHT = LabelOverrides(  # something for each of the configs
    thresholds=(("box", "Car", 0.6), ("label", "Herd", 0.5), ("on_image", "Land vehicle", 0.7)),
    classes=(("label", "/m/07r04", "car"), ("label", "/m/0bt9lr", "Cattle"), ("label", "/m/0k4j", "heavy")),
    branches=(("box", "/m/0jbk", "Cattle"),),
    revision=4,
)

PROJECT = 7
PROJECT_CONFIG = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
    '<Label value="Person"/><Label value="Vehicle"/><Label value="Traffic"/><Label value="Animal"/></RectangleLabels></View>'
)

JOB_CONFIG = CONFIGS["hierarchy and thresholds"]
JOB_PICTURES = {
    "elephants.jpg": "000000054718.jpg",
    "field/horses and cows.jpg": "000000078499.jpg",
    "nothing.jpg": "000000072258.jpg",
    "road/again.jpg": "000000252639.jpg",
    "road/airport.jpg": "000000125870.jpg",
    "road/straße.jpg": "000000252639.jpg",
    "zebras.jpg": "000000281789.jpg",
}
JOB_MTIME = 1_700_000_000  # seconds; the journal knows pictures by size and time


def as_text(values: object) -> str:
    """Return values as the recorded files have them, so that a difference can be read line by line."""
    return json.dumps(values, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def differs(name: str, values: object) -> list[str]:
    """Return the first lines in which values differ from a recorded file; nothing where they are the same byte for byte."""
    then, now = (RECORDED / name).read_text(encoding="utf-8"), as_text(values)
    pairs = zip([*then.splitlines(), "(end)"], [*now.splitlines(), "(end)"], strict=False)
    found = [f"{name}, line {line}: {a} -> {b}" for line, (a, b) in enumerate(pairs, 1) if a != b]
    return found[:20] or ([] if then == now else [f"{name} differs"])


def inputs(photographs: Path) -> dict[str, str]:
    """Return the digests of the photographs and of the detector's files."""
    detector = sorted(path for path in (RECORDED / DETECTOR).rglob("*") if path.is_file())
    files = {f"photographs/{name}": photographs / name for name in PHOTOGRAPHS}
    files |= {path.relative_to(RECORDED).as_posix(): path for path in detector}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


def asked(photographs: Path, name: str) -> list[dict[str, Any]]:
    """Return tasks with the photographs, as one of the label configs wants them."""
    files = [photographs / each for each in PHOTOGRAPHS]
    if name == "several images":
        return [
            {"id": 1, "data": {"pages": files[:6], "image": files[6]}},
            {"id": 2, "data": {"pages": [], "image": files[9]}},
        ]
    return [{"id": number, "data": {"image": file}} for number, file in enumerate(files, 1)]


def predictions(photographs: Path, cache: Path, detector: Detector) -> dict[str, Any]:
    """Return what is answered under each label config, the model versions, and how often cache and model were asked."""
    return asyncio.run(_predictions(photographs, cache, detector))


async def _predictions(photographs: Path, cache: Path, detector: Detector) -> dict[str, Any]:
    settings = Settings(cache="sqlite", cache_file=cache, cache_ttl=0, memory_cache_bytes=0)
    answers: dict[str, Any] = {}
    decisions: dict[str, Any] = {}
    async with Pipeline(
        settings, Models(detector), lambda project: TAUGHT if project == "taught" else NO_OVERRIDES
    ) as pipe:
        for name, config in CONFIGS.items():
            tasks = asked(photographs, name)
            answers[name] = await pipe.predict(tasks, config)
            answers[f"{name}, taught"] = await pipe.predict(tasks[-1:], config, project="taught")
            explained = [each for task in tasks for each in (await pipe.explain(task, config)).boxes]
            decisions[name] = Counter(decision.kind for of_picture in explained for decision in of_picture.decisions)
        answers["drawn"] = await pipe.predict(asked(photographs, "pair")[4:5], CONFIGS["pair"], context=_drawn())
        versions = {
            name: [pipe.postprocessors.version_for(config, project) for project in (None, "taught")]
            for name, config in [*CONFIGS.items(), ("unserved", UNSERVED_CONFIG)]
        }
        value = pipe.metrics.value
        reads = {
            result: value("prelabel_cache_reads_total", tier="sqlite", kind="detections", result=result)
            for result in ("hit", "miss", "expired", "corrupt", "failed")
        }
        figures = {"model runs": value("prelabel_model_runs_total", model="detector"), "cache reads": reads}
    async with Pipeline(settings.model_copy(update={"holdout_fraction": 0.5}), Models(detector)) as pipe:
        answers["half of them audited"] = await pipe.predict(asked(photographs, "audited")[:6], PROJECT_CONFIG)
    return {"answers": answers, "fates": decisions, "versions": versions, "figures": figures}


def _drawn() -> dict[str, Any]:
    """Return what Label Studio sends when somebody has drawn a rectangle on the horses."""
    common = {"id": "r1", "to_name": "image", "original_width": 640, "original_height": 428, "image_rotation": 0}
    value = {"x": 30, "y": 30, "width": 40, "height": 40, "rotation": 0}
    return {
        "result": [
            {**common, "from_name": "box", "type": "rectangle", "value": value},
            {**common, "from_name": "what", "type": "labels", "value": {**value, "labels": ["Horse"]}},
        ]
    }


def command(*arguments: object, **settings: object) -> str:
    """Run a command in this process, with these settings and no others; gives its standard output."""
    environment = dict.fromkeys(VARIABLES.values()) | {name: str(value) for name, value in settings.items()}
    result = CliRunner().invoke(app, [str(each) for each in arguments], env=environment)
    assert result.exit_code == 0, (result.stderr, result.exception)
    return result.stdout


def job_folder(photographs: Path, root: Path) -> Path:
    """Fill a folder with copies of photographs, whose times are always the same."""
    for name, photograph in JOB_PICTURES.items():
        path = root / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(photographs / photograph, path)
        os.utime(path, (JOB_MTIME, JOB_MTIME))
    (root / "config.xml").write_text(JOB_CONFIG, encoding="utf-8")
    return root


def bulk_job(root: Path, **settings: object) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Run a bulk job on :func:`job_folder` with the journal that is there, if there is one; gives what it wrote, and what it told.

    The outputs that are texts are given line by line, the files of YOLO as digests.
    """
    out = root / "out"
    texts = {"tasks.json": "", "coco.json": "coco:", "boxes.csv": "csv:"}
    to = [f"--to={kind}{out / name}" for name, kind in texts.items()]
    lines = command(
        *("bootstrap", root / "pictures", "--config", root / "config.xml", *to, f"--to=yolo:{out / 'yolo'}"),
        *("--model", RECORDED / DETECTOR, "--journal", root / JOURNAL, "--json-lines"),
        **settings,
    )
    written: dict[str, Any] = {}
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        name, content = path.relative_to(out).as_posix(), path.read_bytes()
        written[name] = (
            content.decode().splitlines(keepends=True) if name in texts else hashlib.sha256(content).hexdigest()
        )
    return written, [json.loads(line) for line in lines.splitlines()]


def move_journal(journal: Path, root: Path) -> None:
    """Name another folder as the source of a journal, which knows it by its absolute path."""
    with closing(sqlite3.connect(journal)) as database, database:
        database.execute("UPDATE facts SET value = ? WHERE name = 'source'", (str(root / "pictures"),))


def corrections(database: Path, detector: Detector) -> dict[str, Any]:
    """Return what is made of corrections: the report, what is in force, and proposals; in the end the database is back at the beginning."""
    url = f"sqlite:///{database}"
    settings = Settings.model_validate({"database_url": url})
    with closing(Database(url)) as opened:
        revisions = CurrentRevisions(opened, detector.fingerprint)
        revisions.refresh()
        taught = revisions.overrides(f"{PROJECT}.1700000000")
        version = Pipeline(settings, Models(detector), revisions.overrides).postprocessors.version_for(
            PROJECT_CONFIG, str(PROJECT)
        )

    def told(name: str, *options: object) -> Any:
        return json.loads(command(name, "--project", PROJECT, *options, "--json", PRELABEL_DATABASE_URL=url))

    values = {
        "in force": taught.to_json() | {"revision": taught.revision, "model version": version},
        "report": told("report"),
        "proposal": told("calibrate", "--target-precision", 0.6),
    }
    command("calibrate", "--project", PROJECT, "--revert", "--author", "ann", PRELABEL_DATABASE_URL=url)
    return values | {"proposal at the beginning": told("calibrate", "--target-precision", 0.5)}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with the stand-ins of the photographs, as long as they are those of the record: others have other answers."""
    folder = tmp_path_factory.mktemp("photographs")
    write_stand_ins(folder)
    assert not differs("inputs.json", inputs(folder)), "the inputs of the tests have changed, not the code"
    return folder


@pytest.fixture
def older(tmp_path: Path) -> Mapping[str, Path]:
    """Give copies of the files that an earlier version has written, by name."""
    return {name: shutil.copyfile(RECORDED / name, tmp_path / name) for name in (CACHE, JOURNAL, CORRECTIONS)}


@pytest.fixture(scope="module")
def recorded_detector(models_dir: Path) -> Detector:
    """Give the stand-in of the detector."""
    return Detector.load(str(RECORDED / DETECTOR), models_dir, workers=2)


def test_predictions(photographs: Path, older: Mapping[str, Path], recorded_detector: Detector) -> None:
    """From an older cache, in which every photograph is found: ids, scores, boxes, and the model versions with what was learned."""
    assert differs("predictions.json", predictions(photographs, older[CACHE], recorded_detector)) == []


def test_bulk_job_that_is_done(photographs: Path, older: Mapping[str, Path], tmp_path: Path) -> None:
    """From an older journal alone: nothing is looked at again, and what is written is the same."""
    job_folder(photographs, tmp_path)
    move_journal(older[JOURNAL], tmp_path)
    written, told = bulk_job(tmp_path, PRELABEL_CACHE="none")
    assert (told[0]["event"], told[0]["done"], told[0]["pending"]) == ("surveyed", len(JOB_PICTURES), 0)
    assert (told[-1]["event"], told[-1]["pictures"]) == ("ended", 0)
    assert differs("bulk_job.json", written) == []


def test_bulk_job_from_the_beginning(photographs: Path, older: Mapping[str, Path], tmp_path: Path) -> None:
    """With a new journal and an older cache: the model runs on no picture, and what is written is the same."""
    older[JOURNAL].unlink()
    job_folder(photographs, tmp_path)
    written, told = bulk_job(tmp_path, PRELABEL_CACHE="sqlite", PRELABEL_CACHE_FILE=older[CACHE])
    assert told[0]["pending"] == len(JOB_PICTURES)
    assert told[-1]["known"] == told[-1]["pictures"] == len(JOB_PICTURES)
    assert differs("bulk_job.json", written) == []


def test_corrections(photographs: Path, older: Mapping[str, Path], recorded_detector: Detector) -> None:
    """From an older database: the report, what would be learned, and the revision that is in force."""
    assert differs("corrections.json", corrections(older[CORRECTIONS], recorded_detector)) == []
