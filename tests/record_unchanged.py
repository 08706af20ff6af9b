"""Records anew what ``tests/test_unchanged.py`` compares with. Run this only where a change of answers is meant, and read the difference.

``python tests/record_unchanged.py`` writes the answers (``tests/recorded/*.json``) that this code gives from the stored files.
``python tests/record_unchanged.py --stores`` makes the stored files anew first (``tests/recorded/*.sqlite3``). That gives up the proof
that this code reads what an earlier one has written, so it is for another set of photographs or another detector.
"""

import asyncio
import shutil
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from published import SHARED
from test_unchanged import (
    CACHE,
    CORRECTIONS,
    DETECTOR,
    JOURNAL,
    PHOTOGRAPHS,
    PROJECT,
    PROJECT_CONFIG,
    RECORDED,
    as_text,
    asked,
    bulk_job,
    command,
    corrections,
    inputs,
    job_folder,
    move_journal,
    predictions,
)

from ml_backend.feedback.store.annotation_records import AnnotatedImage, Annotation, put_annotation
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.detectors import CurrentDetector, put_detector
from ml_backend.feedback.store.projects import Project, put_project
from ml_backend.inference.detector import Detector
from ml_backend.inference.models import Models
from ml_backend.label_studio.label_config import parse_label_config
from ml_backend.label_studio.labelled_boxes import LabelledBox, read_regions
from ml_backend.pipeline.prediction import Pipeline
from ml_backend.settings import Settings

LABELS = ("Person", "Vehicle", "Traffic", "Animal")


def make_stores(detector: Detector, root: Path) -> None:
    """Make the cache, the journal and the database of corrections in a folder."""
    predictions(SHARED, root / CACHE, detector)
    bulk_job(SHARED, job_folder(SHARED, root), PRELABEL_CACHE="sqlite", PRELABEL_CACHE_FILE=root / CACHE)
    move_journal(root / JOURNAL, Path("/recorded"))
    with closing(sqlite3.connect(root / JOURNAL, isolation_level=None)) as database:
        # Nothing of this machine: each run finds the files again, and its outputs are in another place.
        database.execute("UPDATE items SET file = key")
        database.execute("DELETE FROM facts WHERE name LIKE 'output %'")
        database.execute("VACUUM")
    annotations = asyncio.run(annotated(detector, root / CACHE))
    url = f"sqlite:///{root / CORRECTIONS}"
    with closing(Database(url)) as kept, kept.writing() as connection:
        put_detector(connection, CurrentDetector(detector.fingerprint[:8], detector.name))
        put_project(connection, Project(PROJECT, "Roads and fields", PROJECT_CONFIG))
        for each in annotations:
            put_annotation(connection, each)
    command(
        *("calibrate", "--project", PROJECT, "--target-precision", 0.5, "--apply", "--author", "ann"),
        PRELABEL_DATABASE_URL=url,
    )
    for name in (CACHE, JOURNAL, CORRECTIONS):
        shutil.copyfile(root / name, RECORDED / name)


async def annotated(detector: Detector, cache: Path) -> list[Annotation]:
    """Return an annotation of each photograph, another of every third, one that was skipped, and one that was accepted in bulk."""
    controls, _ = parse_label_config(PROJECT_CONFIG)
    found: list[Annotation] = []
    async with Pipeline(Settings(cache="sqlite", cache_file=cache), Models(detector)) as pipe:
        for place, task in enumerate(asked(SHARED, "corrections")):
            (answer,) = await pipe.predict([task], PROJECT_CONFIG)
            ((seen,),) = (await pipe.infer(task, {controls[0].image_field: ["detector"]})).values()
            shown = tuple(read_regions(answer["result"], controls).boxes)
            facts: dict[str, Any] = {
                "project": PROJECT,
                "task": task["id"],
                "skipped": False,
                "drawable": {"label": LABELS},
                "shown": shown,
                "version": answer["model_version"],
                "detector": detector.fingerprint[:8],
                "images": (AnnotatedImage("image", 0, PHOTOGRAPHS[place], seen.results.boxes),),
            }
            for annotator in (1, 2) if place % 3 == 0 else (1,):
                number = 2 * place + annotator
                found.append(
                    Annotation(
                        **facts,
                        id=number,
                        annotator=annotator,
                        updated_at=f"2026-01-{number:02d}T00:00:00Z",
                        drawn=tuple(corrected(shown, number)),
                        seconds=10.5 * number,
                        audited=number == 9,
                        odd={"rotated": 1} if number == 4 else {},
                    )
                )
    last = facts | {"annotator": 3, "updated_at": "2026-02-01T00:00:00Z", "images": ()}
    return [
        *found,
        Annotation(**last | {"id": 100, "skipped": True}),
        Annotation(**last | {"id": 101, "accepted": True, "drawn": shown}),
    ]


def corrected(shown: tuple[LabelledBox, ...], number: int) -> list[LabelledBox]:
    """Return what somebody made of the boxes of a prediction: always the same, and something of everything."""
    drawn = [LabelledBox("label", 0, LABELS[number % 4], (0.02, 0.02, 0.2, 0.1 + number / 100))]
    for place, box in enumerate(shown):
        top, left, bottom, right = box.edges
        label = "Traffic" if box.label == "Vehicle" else box.label
        if label != "Traffic" and (box.score < 0.4 or (place + number) % 7 == 0):
            continue  # deleted
        if (place + number) % 5 == 0:
            bottom -= (bottom - top) / 8
        drawn.append(box._replace(label=label, edges=(top, left, bottom, right), score=0.0))
    return drawn


def record(detector: Detector, root: Path) -> None:
    """Write the answers that this code gives from copies of the stored files."""
    for name in (CACHE, JOURNAL, CORRECTIONS):
        shutil.copyfile(RECORDED / name, root / name)
    move_journal(root / JOURNAL, root)
    answers = {
        "inputs": inputs(SHARED),
        "predictions": predictions(SHARED, root / CACHE, detector),
        "bulk_job": bulk_job(SHARED, job_folder(SHARED, root), PRELABEL_CACHE="none")[0],
        "corrections": corrections(root / CORRECTIONS, detector),
    }
    for name, values in answers.items():
        (RECORDED / f"{name}.json").write_text(as_text(values), encoding="utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        made, copied = Path(folder) / "made", Path(folder) / "copied"
        made.mkdir()
        copied.mkdir()
        loaded = Detector.load(str(SHARED / "models" / DETECTOR), Path(folder) / "models", workers=2)
        if "--stores" in sys.argv:
            make_stores(loaded, made)
        record(loaded, copied)
