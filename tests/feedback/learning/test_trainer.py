"""Start Training, from the annotations in the database, without a Label Studio."""

import asyncio
from contextlib import closing

import pytest
from corrections import BOX, annotation, box, seen
from feedback_service import training
from samples import BALLOON_CONFIG, detections_of
from waiting import until

from ml_backend.errors import FeedbackError, LabelConfigError
from ml_backend.feedback.learning.project_calibration import CalibrationResult
from ml_backend.feedback.learning.trainer import AUTHOR
from ml_backend.feedback.store.annotation_records import put_annotation
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.projects import Project, put_project
from ml_backend.feedback.store.revisions import Revision, apply
from ml_backend.feedback.store.trainings import last_trainings
from ml_backend.inference.detector import Detector
from ml_backend.postprocessing.overrides import LabelOverrides
from ml_backend.settings import Settings

STATED = BALLOON_CONFIG.replace('toName="image">', 'toName="image" model_target_precision="0.8">')


def keep(settings: Settings, xml: str, detector: Detector) -> None:
    """Keep forty annotations of a Kite that is right, and twenty of a weaker one that is nobody's."""
    with closing(Database(settings.database_address)) as database, database.writing() as connection:
        put_project(connection, Project(3, "Kites", xml))
        for number in range(1, 61):
            right = number <= 40
            found = detections_of(("Kite", 0.6 if right else 0.4, BOX))
            drawn = [box("Kite")] if right else []
            parts = {"shown": (box("Kite"),), "images": seen(found), "detector": detector.fingerprint[:8]}
            put_annotation(connection, annotation(*drawn, number=number, **parts))


@pytest.mark.parametrize(
    ("xml", "settings", "threshold"),
    [
        (BALLOON_CONFIG, {"target_precision": 0.9}, 0.41),
        (BALLOON_CONFIG, {"target_precision": 0.5}, 0.01),
        (STATED, {"target_precision": 0.5}, 0.41),
        (BALLOON_CONFIG, {"target_precision": 0.95}, None),
    ],
    ids=["the settings'", "a lower one of the settings", "the label config's goes first", "nothing reaches it"],
)
async def test_training_aims_at_the_stated_target(
    demo_detector: Detector, database_url: str, xml: str, settings: dict[str, float], threshold: float | None
) -> None:
    """And is in force at once, under its own name; a second time it changes nothing."""
    given = Settings(database_url=database_url, trust_webhooks=True, **settings)
    keep(given, xml, demo_detector)
    async with training(given, demo_detector) as (trainer, revisions):
        trained = await trainer.train(3)
        assert trained is not None
        if threshold is None:
            assert trained.revision is None
            assert "is wanted" in {each.where.label: each.reason for each in trained.result.proposal.labels}["Kite"]
            return
        assert trained.revision is not None
        assert (trained.revision.number, trained.revision.author) == (1, AUTHOR)
        assert revisions.overrides("3.1795326029").thresholds == (("label", "Kite", threshold),)
        again = await trainer.train(3)
        assert again is not None
        assert again.revision is None
        assert last_training(given)[:3] == ("unchanged", AUTHOR, 1)


def last_training(settings: Settings) -> tuple[str, str, int, str]:
    """Return what came of the last training, who asked for it, the revision that is in force, and what is told of it."""
    with closing(Database(settings.database_address)) as database, database.reading() as connection:
        assert connection is not None
        (training,) = last_trainings(connection)
        assert (training.project, training.at[-6:]) == (3, "+00:00")
        return training.outcome, training.author, training.revision, training.message


async def test_last_training_is_remembered(demo_detector: Detector, database_url: str) -> None:
    """The changes, the reason for none, or the failure; an unknown project has no last training."""
    settings = Settings(database_url=database_url, trust_webhooks=True, target_precision=0.9)
    keep(settings, BALLOON_CONFIG, demo_detector)
    async with training(settings, demo_detector) as (trainer, _):
        with pytest.raises(FeedbackError):
            await trainer.train(7)
        await trainer.train(3)
        assert last_training(settings) == ("applied", AUTHOR, 1, "Kite: 0.3 -> 0.41")
        keep(settings, "<View/>", demo_detector)
        with pytest.raises(LabelConfigError):
            await trainer.train(3)
        outcome, _, revision, message = last_training(settings)
        assert (outcome, revision) == ("failed", 1)
        assert "RectangleLabels" in message
        keep(settings, STATED.replace("0.8", "0.99"), demo_detector)
        await trainer.train(3)
        outcome, _, revision, message = last_training(settings)
        assert (outcome, revision) == ("unchanged", 1)
        assert "Balloon: 0 boxes could be judged, 30 are needed" in message


async def test_pressing_twice_trains_once(demo_detector: Detector, database_url: str) -> None:
    """A press during a training gets the same answer."""
    settings = Settings(database_url=database_url, trust_webhooks=True, target_precision=0.9)
    keep(settings, BALLOON_CONFIG, demo_detector)
    async with training(settings, demo_detector) as (trainer, revisions):
        one, other = await asyncio.gather(trainer.train(3), trainer.train(3))
        assert one is other
        revision = revisions.of(3)
        assert revision is not None
        assert revision.number == 1


async def test_nothing_to_learn_from_is_told(demo_detector: Detector, database_url: str) -> None:
    """With what to do, and which database was read."""
    settings = Settings(database_url=database_url, trust_webhooks=True, target_precision=0.9)
    async with training(settings, demo_detector) as (trainer, _):
        with pytest.raises(FeedbackError, match="feedback sync --project 7") as nothing:
            await trainer.train(7)
    with closing(Database(settings.database_address)) as database:
        assert f"no annotations in the database {database.place}:" in nothing.value.public


async def test_training_that_takes_longer_than_label_studio_waits_goes_on(
    demo_detector: Detector, database_url: str
) -> None:
    """The caller is told so, and the revision comes."""
    settings = Settings(database_url=database_url, trust_webhooks=True, target_precision=0.9, predict_deadline=0.0001)
    keep(settings, BALLOON_CONFIG, demo_detector)
    async with training(settings, demo_detector) as (trainer, revisions):
        assert await trainer.train(3) is None
        await until(lambda: revisions.of(3))


async def test_revision_of_another_service_is_started_from(demo_detector: Detector, database_url: str) -> None:
    """A revision that was applied meanwhile costs a second calibration, and not the training."""
    settings = Settings(database_url=database_url, trust_webhooks=True, target_precision=0.9)
    keep(settings, BALLOON_CONFIG, demo_detector)
    with closing(Database(settings.database_address)) as database:
        async with training(settings, demo_detector) as (trainer, _):
            numbers: list[int] = []

            def conclude(result: CalibrationResult) -> Revision | None:
                numbers.append(result.current.number if result.current else 0)
                if len(numbers) == 1:
                    apply(
                        database,
                        3,
                        LabelOverrides(thresholds=(("label", "Kite", 0.9),)),
                        detector=demo_detector.fingerprint[:8],
                        author="another service",
                        evidence={},
                        after=0,
                    )
                return result.apply(database, AUTHOR)

            _, revision = await trainer.calibrate(3, conclude)
    assert numbers == [0, 1]
    assert revision is not None
    assert (revision.number, revision.author) == (2, AUTHOR)
