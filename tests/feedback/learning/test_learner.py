"""Learning without a button, from the annotations in the database."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import datetime, timedelta, tzinfo

import pytest
from corrections import BOX, annotation, box, seen
from feedback_service import training
from samples import BALLOON_CONFIG, detections_of
from waiting import until

from ml_backend.feedback.learning import learner as module
from ml_backend.feedback.learning import project_calibration
from ml_backend.feedback.learning.learner import AUTHOR, Learner, LearnOptions
from ml_backend.feedback.learning.revisions import CurrentRevisions
from ml_backend.feedback.store.annotation_records import put_annotation
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.projects import Project, put_project
from ml_backend.feedback.store.revisions import apply, revert
from ml_backend.feedback.store.trainings import last_trainings
from ml_backend.inference.detector import Detector
from ml_backend.postprocessing.overrides import LabelOverrides
from ml_backend.settings import Settings


@pytest.fixture
def settings(database_url: str) -> Settings:
    """Give the settings of a service that listens."""
    return Settings(database_url=database_url, trust_webhooks=True)


@pytest.fixture
def keep(settings: Settings, demo_detector: Detector) -> "Keep":
    """Give a function that adds annotations."""
    return Keep(settings, demo_detector)


class Keep:
    """Adds annotations of an image with a Kite."""

    def __init__(self, settings: Settings, detector: Detector) -> None:
        self._settings, self._detector, self._count = settings, detector.fingerprint[:8], 0

    def __call__(
        self, count: int, *, score: float = 0.2, drawn: bool = True, xml: str = BALLOON_CONFIG, project: int = 3
    ) -> None:
        """Add some annotations; by default the Kite is drawn although its score is below the threshold, so showing it saves time."""
        with closing(Database(self._settings.database_address)) as database, database.writing() as connection:
            put_project(connection, Project(project, "Kites", xml))
            for _ in range(count):
                self._count += 1
                images = seen(detections_of(("Kite", score, BOX)))
                parts = {"shown": (), "images": images, "detector": self._detector, "project": project}
                boxes = [box("Kite")] if drawn else []
                put_annotation(connection, annotation(*boxes, number=self._count, **parts))


@asynccontextmanager
async def learning(
    settings: Settings, detector: Detector, options: LearnOptions
) -> AsyncIterator[tuple[Learner, CurrentRevisions]]:
    """Give a learner that looks when it is told to, and the revisions in force."""
    async with training(settings, detector) as (trainer, revisions):
        with closing(Database(settings.database_address)) as database:
            yield Learner(database, trainer, options), revisions


def told(settings: Settings) -> list[tuple[int, str, str, int, str]]:
    """Return the last training of each project: project, author, outcome, revision and message."""
    with closing(Database(settings.database_address)) as database, database.reading() as connection:
        found = [] if connection is None else last_trainings(connection)
    return [(each.project, each.author, each.outcome, each.revision, each.message) for each in found]


@pytest.mark.parametrize(
    ("options", "count", "score", "outcome", "revision"),
    [
        (LearnOptions("suggest"), 4, 0.2, None, 0),
        (LearnOptions("suggest"), 5, 0.2, "suggested", 0),
        (LearnOptions("auto"), 5, 0.2, "applied", 1),
        (LearnOptions("auto"), 5, 0.9, None, 0),
    ],
    ids=["too few", "five, to be applied by a person", "five, applied", "nothing to gain"],
)
async def test_five_corrections_are_enough(
    settings: Settings,
    demo_detector: Detector,
    keep: Keep,
    options: LearnOptions,
    count: int,
    score: float,
    outcome: str | None,
    revision: int,
) -> None:
    """The seconds that are expected are told beside the changes; nothing is told where nothing would change."""
    keep(count, score=score)
    async with learning(settings, demo_detector, options) as (learner, revisions):
        await learner.look()
        in_force = revisions.of(3)
        assert (in_force.number if in_force else 0) == revision
        if outcome is None:
            assert told(settings) == []
            return
        ((project, author, found, number, message),) = told(settings)
        assert (project, author, found, number) == (3, AUTHOR, outcome, revision)
        assert "Kite: 0.3 -> " in message
        assert ("s a picture (-" in message) == (outcome == "suggested")


async def test_next_look_needs_a_tenth_more(settings: Settings, demo_detector: Detector, keep: Keep) -> None:
    """At least five, so that a large project is not calibrated all the time."""
    keep(100, score=0.9)
    async with learning(settings, demo_detector, LearnOptions("auto", pause=0)) as (learner, revisions):
        await learner.look()
        keep(9)
        await learner.look()
        assert revisions.of(3) is None
        keep(1)
        await learner.look()
        assert revisions.of(3) is not None


async def test_revisions_keep_their_distance(
    settings: Settings, demo_detector: Detector, keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that comes too early is suggested with its time, and applied then, without further corrections."""
    keep(5)
    async with learning(settings, demo_detector, LearnOptions("auto", pause=3600)) as (learner, revisions):
        await learner.look()
        keep(60, drawn=False)
        await learner.look()
        ((*_, outcome, number, message),) = told(settings)
        assert (outcome, number) == ("suggested", 1)
        assert "to be applied after" in message
        await learner.look()
        assert told(settings)[0][2] == "suggested"
        monkeypatch.setattr(module, "datetime", InAnHour)
        monkeypatch.setattr(module, "monotonic", lambda: time.monotonic() + 3601)
        await learner.look()
        assert told(settings)[0][2:4] == ("applied", 2)
        in_force = revisions.of(3)
        assert in_force is not None
        assert in_force.number == 2


class InAnHour(datetime):
    """A clock that is an hour ahead."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "InAnHour":
        """Return the time in an hour."""
        return super().now(tz) + timedelta(seconds=3601)


@pytest.mark.parametrize("reverted", [True, False], ids=["a revert", "a target precision"])
async def test_decision_of_a_person_stays(
    settings: Settings, demo_detector: Detector, keep: Keep, *, reverted: bool
) -> None:
    """Until a person presses Start Training."""
    keep(5)
    with closing(Database(settings.database_address)) as database:
        evidence = {"labels": [{"label": "Kite", "target": None if reverted else 0.9}]}
        overrides = LabelOverrides.of({("label", "Kite"): 0.7}, {})
        apply(database, 3, overrides, detector="", author="a", evidence=evidence, after=0)
        if reverted:
            revert(database, 3, author="a")
    async with learning(settings, demo_detector, LearnOptions("auto", pause=0)) as (learner, revisions):
        await learner.look()
        ((*_, outcome, _, message),) = told(settings)
        assert outcome == "suggested"
        assert "waiting for Start Training" in message
        revisions.refresh()
        in_force = revisions.of(3)
        assert in_force is not None
        assert in_force.author == "a"


async def test_suggestion_that_is_not_worth_it_any_more_goes(
    settings: Settings, demo_detector: Detector, keep: Keep
) -> None:
    """It is replaced by the reason for no change."""
    keep(5)
    async with learning(settings, demo_detector, LearnOptions("suggest")) as (learner, _):
        await learner.look()
        assert told(settings)[0][2] == "suggested"
        keep(5, xml=BALLOON_CONFIG.replace('toName="image">', 'toName="image" model_score_threshold="0.3">'))
        await learner.look()
        ((*_, outcome, number, message),) = told(settings)
        assert (outcome, number) == ("unchanged", 0)
        assert "Kite: the label config states 0.3" in message


async def test_project_that_cannot_be_calibrated_holds_up_no_other(
    settings: Settings, demo_detector: Detector, keep: Keep
) -> None:
    """Its label config has no control that is served."""
    keep(5, xml="<View/>", project=2)
    keep(5)
    async with learning(settings, demo_detector, LearnOptions("auto")) as (learner, revisions):
        await learner.look()
        assert revisions.of(2) is None
        assert revisions.of(3) is not None


async def test_learning_can_be_off(
    settings: Settings, demo_detector: Detector, keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then nothing is looked at."""
    monkeypatch.setattr(module, "LOOK_SECONDS", 0)
    keep(5)
    async with learning(settings, demo_detector, LearnOptions("off")) as (learner, _), learner.running():
        await asyncio.sleep(0)
        assert {task.get_name() for task in asyncio.all_tasks() if "Learner" in repr(task)} == set()
        assert told(settings) == []


async def test_calibration_rests_on_the_newest_annotations(
    settings: Settings, demo_detector: Detector, keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So its time and memory are bounded: here on ten right boxes, and not on the hundred wrong ones before."""
    monkeypatch.setattr(project_calibration, "MOST_ANNOTATIONS", 10)
    keep(100, drawn=False)
    keep(10)
    async with learning(settings, demo_detector, LearnOptions("suggest")) as (learner, _):
        await learner.look()
        ((*_, outcome, _, message),) = told(settings)
        assert outcome == "suggested"
        assert "Kite: 0.3 -> 0.0" in message


async def test_service_that_does_not_lead_leaves_learning_to_another(
    settings: Settings, demo_detector: Detector, keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks every ten seconds whether it leads now."""
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    keep(5)
    asked: list[list[tuple[int, str, str, int, str]]] = []

    def leads() -> bool:
        asked.append(told(settings))
        return len(asked) > 3

    async with learning(settings, demo_detector, LearnOptions("auto")) as (learner, _):
        learner.leads = leads
        async with learner.running():
            await until(lambda: told(settings))
    assert asked[:4] == [[]] * 4
