"""Detections belong to a detector: with another one, annotations are processed again in the background."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from typing import Any

import pytest
from corrections import BOX, MIXED_CONFIG, MOVED, SCENE_CONFIG, annotation, box, chosen, classified
from feedback_service import feedback_service
from picture_server import Answer, PictureServer
from samples import BALLOON_CONFIG, balloon_file, detections_of
from sqlalchemy import delete, select
from waiting import until

from ml_backend.feedback.ingest.service import FeedbackService
from ml_backend.feedback.store.annotation_records import AnnotatedImage, Annotation, annotations_of, put_annotation
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.detectors import (
    CurrentDetector,
    count_outdated,
    current_detector,
    enqueue_outdated,
    put_detector,
)
from ml_backend.feedback.store.event_queue import pending
from ml_backend.feedback.store.projects import Project, put_project
from ml_backend.feedback.store.tables import events
from ml_backend.inference.detector import Detector
from ml_backend.settings import Settings

OLD, NEW = CurrentDetector("0123abcd", "old"), CurrentDetector("89abcdef", "new")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Give an empty database, of both kinds."""
    with closing(Database(database_url)) as opened:
        yield opened


def keep(database: Database, *kept: Annotation, xml: str = BALLOON_CONFIG) -> None:
    """Keep annotations of project 3."""
    with database.writing() as connection:
        put_project(connection, Project(3, "Kites", xml))
        for each in kept:
            put_annotation(connection, each)


def name(database: Database, *detectors: CurrentDetector) -> CurrentDetector | None:
    """Let services start one after the other; gives the detector that is current then."""
    for detector in detectors:
        with database.writing() as connection:
            put_detector(connection, detector)
    with database.reading() as connection:
        assert connection is not None
        return current_detector(connection)


def enqueued(database: Database, detector: CurrentDetector, most: int = 100) -> list[int]:
    """Queue outdated tasks; returns all queued ones."""
    with database.writing() as connection:
        enqueue_outdated(connection, detector.fingerprint, most)
        return sorted(connection.execute(select(events.c.object).where(events.c.kind == "detections")).scalars())


@pytest.mark.parametrize(
    ("starts", "current"),
    [
        pytest.param([OLD], OLD, id="one"),
        pytest.param([OLD, NEW], NEW, id="the latest"),
        pytest.param([OLD, NEW, OLD], OLD, id="going back"),
        pytest.param([OLD, OLD], OLD, id="started again"),
    ],
)
def test_latest_detector_is_the_current_one(
    database: Database, starts: list[CurrentDetector], current: CurrentDetector
) -> None:
    """By the clock of the database, whichever services share it."""
    assert name(database, *starts) == current


def test_outdated_annotations_are_queued_in_batches(database: Database) -> None:
    """Each task once; skipped annotations say nothing about boxes, and those of the current detector are done."""
    keep(
        database,
        annotation(number=1, task=7, detector=OLD.fingerprint),
        annotation(number=2, task=7, detector=OLD.fingerprint),
        annotation(number=3, task=8, detector=""),
        annotation(number=4, task=9, detector=OLD.fingerprint, skipped=True),
        annotation(number=5, task=10, detector=NEW.fingerprint),
        annotation(number=6, task=11, detector="ffffffff"),
    )
    name(database, NEW)
    with database.reading() as connection:
        assert connection is not None
        assert (count_outdated(connection), count_outdated(connection, 3), count_outdated(connection, 4)) == (4, 4, 0)
    first = enqueued(database, NEW, 2)
    assert len(first) == 2
    assert enqueued(database, NEW, 2) == enqueued(database, NEW, 2) == [7, 8, 11]
    with database.writing() as connection:
        connection.execute(delete(events).where(events.c.object == 8))
    assert enqueued(database, NEW) == [7, 8, 11]


def test_detector_that_is_not_current_queues_nothing(database: Database) -> None:
    """Two services with different detectors on one database would undo each other's work for ever."""
    keep(database, annotation(number=1, detector=NEW.fingerprint))
    name(database, OLD, NEW)
    assert enqueued(database, OLD) == []


@pytest.fixture
def balloon(pictures: PictureServer) -> str:
    """Give the address of an image with one balloon."""
    return pictures.add("/balloon.png", balloon_file())


@asynccontextmanager
async def serving(database_url: str, detector: Detector) -> AsyncIterator[FeedbackService]:
    """Give a feedback service that trusts events."""
    settings = Settings(database_url=database_url, trust_webhooks=True)
    async with feedback_service(settings, detector) as parts, parts.feedback.listening():
        yield parts.feedback


def all_of(database: Database) -> list[Annotation]:
    """Return the annotations of project 3."""
    with database.reading() as connection:
        return list(annotations_of(connection, 3))


def corrected(number: int, image: str, **parts: Any) -> Annotation:
    """Return an annotation in whose image an old detector has found a kite."""
    found = AnnotatedImage("image", 0, image, detections_of(("Kite", 0.9, BOX)))
    given: dict[str, Any] = {"shown": (box("Kite"),), "version": "old@0123abcd.012345", "images": (found,)}
    return annotation(box("Kite", MOVED), number=number, detector=OLD.fingerprint, **(given | parts))


async def test_annotations_get_detections_of_a_new_detector(
    database: Database, database_url: str, demo_detector: Detector, balloon: str
) -> None:
    """Drawn and shown boxes stay."""
    before = [corrected(1, balloon), corrected(2, balloon), corrected(3, balloon, images=(), problem="gone")]
    keep(database, *before, annotation(number=4, skipped=True))
    async with serving(database_url, demo_detector) as feedback:
        assert (await feedback.state())["detector"] == demo_detector.fingerprint[:8]
        await until(lambda: {each.detector for each in all_of(database)[:3]} == {demo_detector.fingerprint[:8]})
        state = await feedback.state()
        assert (state["outdated"], state["waiting"]) == (0, 0)
    for old, new in zip(before[:2], all_of(database), strict=False):
        assert [image.detections.class_names[0] for image in new.images] == ["Balloon"]
        assert replace(new, detector=old.detector, images=old.images) == old
    assert all_of(database)[2].problem == "gone"


async def test_work_goes_on_after_a_restart(
    database: Database, database_url: str, demo_detector: Detector, pictures: PictureServer, balloon: str
) -> None:
    """A task whose image is unavailable stays queued; the state shows the progress."""
    away = pictures.add("/away.png", Answer(status=503))
    keep(database, corrected(1, balloon), corrected(2, away))
    async with serving(database_url, demo_detector) as feedback:
        await until(lambda: all_of(database)[0].detector != OLD.fingerprint)

        await until(lambda: pending(database)[1])
        state = await feedback.state()
        assert (state["outdated"], state["waiting"]) == (1, 1)
        assert state["problem"].startswith("task 2: ")
    pictures.add("/away.png", balloon_file())
    async with serving(database_url, demo_detector):
        await until(lambda: all_of(database)[1].detector == demo_detector.fingerprint[:8])


@pytest.mark.parametrize(
    ("xml", "images"),
    [pytest.param(SCENE_CONFIG, 0, id="choices only"), pytest.param(MIXED_CONFIG, 1, id="boxes and choices")],
)
async def test_choices_stay_as_they_are(
    database: Database, database_url: str, demo_detector: Detector, balloon: str, xml: str, images: int
) -> None:
    """No image is needed for them, none is missing, and the task is not queued for ever."""
    choices = {
        "drawable": {"scene": (), "label": ("Kite",)},
        "choices": (chosen("Dog"),),
        "shown_choices": (chosen("Cat"),),
    }
    before = corrected(1, balloon, **choices) if images else classified("Cat", "Dog", detector=OLD.fingerprint)
    keep(database, before, xml=xml)
    async with serving(database_url, demo_detector) as feedback:
        await until(lambda: all_of(database)[0].detector == demo_detector.fingerprint[:8])
        state = await feedback.state()
        assert (state["outdated"], state["waiting"]) == (0, 0)
    (after,) = all_of(database)
    assert (len(after.images), after.problem) == (images, "")
    assert replace(after, detector=before.detector, images=before.images) == before
    assert enqueued(database, CurrentDetector(demo_detector.fingerprint[:8], demo_detector.name)) == []
