"""A project of corrected kites, from which learning proposes one change."""

from contextlib import closing
from typing import Any

from corrections import BOX, annotation, box
from samples import BALLOON_CONFIG, detections_of

from ml_backend.feedback.store.annotation_records import AnnotatedImage, Annotation, put_annotation
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.detectors import CurrentDetector, put_detector
from ml_backend.feedback.store.projects import Project, put_project
from ml_backend.inference.detector import Detector
from ml_backend.settings import Settings

PROJECT = 3
LEARNED = 0.41  # the threshold that reaches the target
USER = {"basic_auth_user": "lead", "basic_auth_pass": "pass word"}
AUTH = ("lead", "pass word")


def kite(number: int, score: float, *, right: bool, image: str = "0.jpg", **more: Any) -> Annotation:
    """Return an annotation of a picture with one detected Kite, which a person kept or deleted."""
    found = detections_of(("Kite", score, BOX))
    facts: dict[str, Any] = {"shown": (box("Kite"),), "version": "demo@1", "annotator": 1 + number % 2}
    facts |= {"updated_at": f"2026-01-{1 + number % 9:02}T12:00:00Z", "seconds": 20.0}
    drawn = [box("Kite")] if right else []
    images = (AnnotatedImage("image", 0, image, found),)
    return annotation(*drawn, number=number, images=images, **(facts | more))


def keep(
    settings: Settings,
    *annotations: Annotation,
    detector: Detector | None = None,
    title: str = "Kites",
    xml: str = BALLOON_CONFIG,
) -> None:
    """Keep annotations of the project in the database of the settings, as of a detector that is the current one."""
    with closing(Database(settings.database_address)) as database, database.writing() as connection:
        put_project(connection, Project(PROJECT, title, xml))
        if detector is not None:
            put_detector(connection, CurrentDetector(detector.fingerprint[:8], detector.name))
        for each in annotations:
            put_annotation(connection, each)


def kites(detector: Detector, image: str = "0.jpg", **more: Any) -> list[Annotation]:
    """Return forty pictures with a right Kite, and twenty with a weaker wrong one."""
    facts = {"image": image, "detector": detector.fingerprint[:8]} | more
    return [kite(number, 0.6 if number <= 40 else 0.4, right=number <= 40, **facts) for number in range(1, 61)]
