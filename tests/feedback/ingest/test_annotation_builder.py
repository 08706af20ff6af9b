"""Annotations, predictions and tasks with any JSON values become records that the database accepts."""

import json
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from corrections import MIXED_CONFIG, SCENE_CONFIG
from picture_server import PictureServer
from PIL import Image
from samples import BALLOON_CONFIG, balloon_file, encoded, large_scene

from ml_backend.feedback.ingest import annotation_builder as module
from ml_backend.feedback.ingest.annotation_builder import AnnotationBuilder, BuildContext, BuiltTask
from ml_backend.feedback.store.annotation_records import Annotation, annotations_of, put_task
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.projects import Project, put_project
from ml_backend.inference.detector import Detector
from ml_backend.inference.models import Models
from ml_backend.label_studio.controls.control import Control
from ml_backend.label_studio.labelled_boxes import ReadRegions, read_regions
from ml_backend.pipeline.prediction import Pipeline
from ml_backend.settings import Settings

PROJECT = Project(3, "Kites", BALLOON_CONFIG)
VALUE = {"x": 12.5, "y": 25.0, "width": 18.75, "height": 40.0, "rotation": 0, "rectanglelabels": ["Balloon"]}
REGION = {"id": "r", "type": "rectanglelabels", "from_name": "label", "to_name": "image", "value": VALUE}
HUGE = 10**30


@dataclass(frozen=True)
class Kept:
    """Builds tasks and keeps their annotations."""

    builder: AnnotationBuilder
    database: Database
    image: str

    async def of(self, task: dict[str, Any]) -> list[Annotation]:
        """Return the records of a task, which comes as JSON."""
        given = json.loads(json.dumps({"id": 1, "data": {"image": self.image}} | task))
        with self.database.reading() as connection:
            context = BuildContext.read(connection, PROJECT, [1], self.builder.detector)
        (built,) = await self.builder.build_all([given], context, time.time())
        assert isinstance(built, BuiltTask)
        with self.database.writing() as connection:
            put_task(connection, PROJECT.id, built.task, built.ids, built.changed, built.read_at)
        with self.database.reading() as connection:
            return list(annotations_of(connection, PROJECT.id))


@pytest.fixture
async def kept(demo_detector: Detector, database_url: str, pictures: PictureServer) -> AsyncIterator[Kept]:
    """Give a builder and a database, of both kinds, and an image with one balloon."""
    image = pictures.add("/balloon.png", balloon_file())
    with closing(Database(database_url)) as database:
        async with Pipeline(Settings(), Models(demo_detector)) as pipeline:
            yield Kept(AnnotationBuilder(pipeline, demo_detector.fingerprint[:8], 0), database, image)


def submitted(**parts: Any) -> dict[str, Any]:
    """Return an annotation of one balloon, as Label Studio has it."""
    return {"id": 5, "result": [REGION], "updated_at": "2026-01-01T00:00:00Z", "parent_prediction": 7} | parts


def predicted(**parts: Any) -> dict[str, Any]:
    """Return the prediction that it began with."""
    return {"id": 7, "model_version": "v1", "result": [REGION | {"score": 0.9}]} | parts


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ({}, {"version": "v1", "annotator": None, "seconds": None, "problem": "", "lost": False}),
        ({"annotations": [submitted(completed_by=HUGE)]}, {"annotator": None}),
        ({"annotations": [submitted(completed_by={"id": HUGE})]}, {"annotator": None}),
        ({"annotations": [submitted(completed_by={"id": 9})]}, {"annotator": 9}),
        ({"annotations": [submitted(lead_time=10**400)]}, {"seconds": None}),
        ({"annotations": [submitted(lead_time=-1)]}, {"seconds": None}),
        ({"annotations": [submitted(lead_time=True)]}, {"seconds": None}),
        ({"annotations": [submitted(updated_at="x" * 100)]}, {"updated_at": "x" * 59 + "…"}),
        ({"annotations": [submitted(updated_at="\ud800")]}, {"updated_at": "\\ud800"}),
        ({"annotations": [submitted(updated_at="a\0b")]}, {"updated_at": "ab"}),
        ({"annotations": [submitted(result=[REGION | {"item_index": HUGE}])]}, {}),
        ({"annotations": [submitted(parent_prediction=[7])]}, {"version": "v1"}),
        ({"annotations": [submitted(parent_prediction=8)]}, {"shown": None, "version": "", "lost": True}),
        (
            {"annotations": [submitted(parent_prediction=None, result=[REGION | {"id": "own"}])]},
            {"shown": None, "version": "", "lost": False},
        ),
        (
            {"annotations": [submitted(parent_prediction=None, result=[REGION | {"id": [], "origin": "prediction"}])]},
            {"shown": None, "lost": True},
        ),
        (
            {"annotations": [submitted(parent_prediction=None, result=[REGION | {"id": 7, "origin": ["prediction"]}])]},
            {"shown": None, "lost": False},
        ),
        ({"predictions": [predicted(model_version="v\ud800")]}, {"version": "v\\ud800"}),
        ({"predictions": [predicted(model_version="v" * 300)]}, {"version": "v" * 199 + "…"}),
        ({"predictions": [predicted(model_version=5)]}, {"version": "5"}),
        ({"predictions": [predicted(id={})]}, {"shown": None, "version": "", "lost": True}),
        ({"predictions": [predicted(created_at=5), predicted(created_at=None)]}, {"version": "v1"}),
        ({"predictions": [predicted(result=None)]}, {"shown": ()}),
        ({"predictions": [predicted(result="x")]}, {"shown": ()}),
        ({"predictions": [None, 5, predicted()]}, {"version": "v1"}),
    ],
    ids=[
        "as it should be",
        "huge annotator",
        "huge id of an annotator",
        "annotator",
        "huge time",
        "negative time",
        "a bool for a time",
        "endless update",
        "update that cannot be encoded",
        "update with a NUL",
        "huge place in the list",
        "prediction that is none",
        "prediction that is gone",
        "no prediction",
        "no prediction, and a region of one",
        "no prediction, and an odd origin",
        "version that cannot be encoded",
        "endless version",
        "a number for a version",
        "prediction without an id",
        "odd times of predictions",
        "prediction without regions",
        "text for regions",
        "odd predictions beside it",
    ],
)
async def test_odd_values_can_be_kept(kept: Kept, task: dict[str, Any], expected: dict[str, Any]) -> None:
    """An annotation that cannot be kept would hold up all events that wait behind it."""
    (found,) = await kept.of({"annotations": [submitted()], "predictions": [predicted()]} | task)
    assert {name: getattr(found, name) for name in expected} == expected
    assert [(box.label, box.item) for box in found.drawn] == [("Balloon", 0)]
    assert len(found.images) == 1


@pytest.mark.parametrize(
    ("updated_at", "labels"),
    [
        pytest.param("1970-01-01T00:00:05Z", ("Balloon", "Kite"), id="made under the first config that is known"),
        pytest.param("2100-01-01T00:00:00Z", ("Balloon", "Box", "Kite"), id="made under the present config"),
    ],
)
async def test_labels_that_could_be_drawn_are_kept(kept: Kept, updated_at: str, labels: tuple[str, ...]) -> None:
    """Those of the config of the time, and those of boxes, which nobody can have without the label."""
    first = BALLOON_CONFIG.replace('<Label value="Balloon"/>', "").replace('<Label value="Box"/>', "")
    for config in (first, BALLOON_CONFIG):
        with kept.database.writing() as connection:
            put_project(connection, replace(PROJECT, label_config=config))
    (found,) = await kept.of({"annotations": [submitted(updated_at=updated_at)], "predictions": [predicted()]})
    assert found.drawable == {"label": labels}


@pytest.mark.parametrize(
    "name",
    [
        "a\ud800.jpg",
        "a\0b.jpg",
    ],
    ids=["surrogate", "NUL"],
)
async def test_odd_references_can_be_kept(kept: Kept, name: str) -> None:
    """There is no image, and the problem says so."""
    (found,) = await kept.of({"data": {"image": kept.image + name}, "annotations": [submitted()]})
    assert (found.images, found.problem.startswith("task 1: ")) == ((), True)


@pytest.mark.parametrize(
    ("xml", "problem"),
    [pytest.param(SCENE_CONFIG, "", id="choices only"), pytest.param(MIXED_CONFIG, "404", id="boxes and choices")],
)
async def test_choices_alone_need_no_image(kept: Kept, xml: str, problem: str) -> None:
    """Shown and submitted choices are in Label Studio; detections are for boxes."""
    regions = [
        {"id": "r", "type": "choices", "from_name": "scene", "to_name": "image", "value": {"choices": [choice]}}
        for choice in ("Dog", "Cat")
    ]
    task = {
        "id": 1,
        "data": {"image": kept.image + ".gone"},
        "annotations": [submitted(result=regions[:1])],
        "predictions": [predicted(result=regions[1:])],
    }
    built = await kept.builder.build(task, BuildContext(replace(PROJECT, label_config=xml)), 0.0)
    (record,) = built.changed
    assert [each.choices for each in (*record.choices, *(record.shown_choices or ()))] == [("Dog",), ("Cat",)]
    assert problem in record.problem
    assert bool(record.problem) == bool(problem)


async def test_regions_are_read_away_from_the_event_loop(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the annotation and those of the prediction, which other backends make as many of as they like."""
    threads: list[int] = []

    def read(regions: object, controls: Sequence[Control]) -> ReadRegions:
        threads.append(threading.get_ident())
        return read_regions(regions, controls)

    monkeypatch.setattr(module, "read_regions", read)
    (found,) = await kept.of({"annotations": [submitted()], "predictions": [predicted()]})
    assert (len(found.drawn), len(found.shown or ())) == (1, 1)
    assert len(threads) == 2
    assert threading.get_ident() not in threads


@pytest.mark.parametrize("tiles", [0, 2])
async def test_record_has_the_detections_of_all_views(
    tmp_path: Path, pictures: PictureServer, demo_detector: Detector, tiles: int
) -> None:
    """Those in tiles too, where the project has tiles, each with its view, as read back from the database."""
    url = pictures.add("/large.png", encoded(Image.fromarray(large_scene())))
    with closing(Database(f"sqlite:///{tmp_path / 'corrections'}")) as database:
        async with Pipeline(Settings(tiles=tiles), Models(demo_detector)) as pipeline:
            kept = Kept(AnnotationBuilder(pipeline, demo_detector.fingerprint[:8], 0), database, url)
            (annotation,) = await kept.of({"annotations": [submitted()], "predictions": [predicted()]})
    (image,) = annotation.images
    views = {image.detections.view(row).partition(" ")[0] for row in range(len(image.detections))}
    assert views == ({"", "tiles2"} if tiles else {""})
