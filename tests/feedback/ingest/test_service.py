"""Events become annotation records, on SQLite and on Postgres: trusted events here; tests/e2e reads back from a real Label Studio."""

import asyncio
import base64
import json
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from feedback_service import feedback_service
from picture_server import Answer, PictureServer
from postgres_server import PostgresServer
from samples import BALLOON_CONFIG, balloon_file
from several_services import COUNT_WRITES, WRITTEN_TWICE
from subjects import ELEPHANT, subject_file
from waiting import SECONDS, until

from ml_backend.errors import FeedbackError
from ml_backend.feedback.ingest import service as module
from ml_backend.feedback.ingest.service import FeedbackService
from ml_backend.feedback.store import event_queue
from ml_backend.feedback.store.annotation_records import Annotation, annotations_of
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.event_queue import pending
from ml_backend.inference.classifier import Classifier
from ml_backend.inference.detector import Detector
from ml_backend.label_studio.labelled_choices import LabelledChoices
from ml_backend.settings import Settings

BALLOON = {"x": 12.5, "y": 25.0, "width": 18.75, "height": 40.0}  # where the balloon of the sample is, in percent


def region(**changes: Any) -> dict[str, Any]:
    """Return a drawn rectangle."""
    value = BALLOON | {"rotation": 0, "rectanglelabels": ["Balloon"]} | changes
    return {"id": "r", "type": "rectanglelabels", "from_name": "label", "to_name": "image", "value": value}


def event(
    action: str = "ANNOTATION_CREATED",
    *,
    number: int = 1,
    task: int = 1,
    image: str = "",
    result: Sequence[Any] = (),
    label_config: str = BALLOON_CONFIG,
    **annotation: Any,
) -> bytes:
    """Return the body of an event about one annotation, as Label Studio posts it."""
    about = {"id": number, "task": task, "result": list(result), "updated_at": "2026-01-01T00:00:00Z"} | annotation
    body = {
        "action": action,
        "project": {"id": 3, "label_config": label_config, "task_data_password": "secret"},
        "annotation": about,
        "task": {"id": task, "data": {"image": image}},
    }
    return json.dumps(body).encode()


def deleted(kind: str, *numbers: int) -> bytes:
    """Return the body of an event about deleted annotations or tasks."""
    body = {"action": f"{kind.upper()}_DELETED", "project": {"id": 3}, kind: [{"id": number} for number in numbers]}
    return json.dumps(body).encode()


Listening = Callable[..., Any]


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a slow disk: the refusal in time has a test of its own."""
    monkeypatch.setattr(event_queue, "PATIENCE", 60)


@pytest.fixture
def listening(demo_detector: Detector, database_url: str) -> Listening:
    """Give a function that opens a listener which trusts events."""

    @asynccontextmanager
    async def listen(**settings: Any) -> AsyncIterator[FeedbackService]:
        given = Settings(**{"database_url": database_url, "trust_webhooks": True} | settings)
        async with feedback_service(given, demo_detector) as parts, parts.feedback.listening():
            yield parts.feedback

    return listen


async def kept(feedback: FeedbackService, count: int, seconds: float = SECONDS) -> list[Annotation]:
    """Wait until nothing waits and so many annotations are kept; gives them."""
    end = time.monotonic() + seconds
    while True:
        waiting, problem = pending(feedback.database)
        with feedback.database.reading() as connection:
            found = list(annotations_of(connection, 3))
        if not waiting and len(found) == count:
            return found
        assert time.monotonic() < end, (waiting, problem, len(found))
        await asyncio.sleep(0.05)


def written(folder: Path) -> bytes:
    """Return everything that the files of SQLite in a folder hold."""
    return b"".join(file.read_bytes() for file in folder.glob("feedback.sqlite3*"))


@pytest.fixture
def balloon(pictures: PictureServer) -> str:
    """Give the address of an image with one balloon."""
    return pictures.add("/balloon.png", balloon_file())


async def test_annotation_becomes_a_record(listening: Listening, balloon: str) -> None:
    """Drawn boxes, those that would have been shown, all detections, the annotator and the time."""
    async with listening() as feedback:
        made = event(image=balloon, result=[region()], lead_time=12.5, completed_by={"id": 9}, parent_prediction=5)
        taken = await feedback.take(made)
        assert taken.action == "ANNOTATION_CREATED"
        (annotation,) = await kept(feedback, 1)
    assert [box.label for box in annotation.drawn] == ["Balloon"]
    assert annotation.drawn[0].edges == pytest.approx((0.25, 0.125, 0.65, 0.3125))
    assert [box.label for box in annotation.shown or ()] == ["Balloon"]
    assert annotation.version.startswith("demo")
    assert (annotation.annotator, annotation.seconds, annotation.task) == (9, 12.5, 1)
    assert len(annotation.images[0].detections) >= 1
    assert not annotation.audited


async def test_tables_are_there_before_the_first_event(listening: Listening) -> None:
    """Making them takes longer than Label Studio's save may be held up."""
    async with listening() as feedback:
        with feedback.database.reading() as connection:
            assert connection is not None


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_database_that_is_away_at_the_start_holds_nothing_up(
    listening: Listening, balloon: str, tmp_path: Path
) -> None:
    """The service starts, and takes events as soon as the database does."""
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    async with listening(database_url=f"sqlite:///{in_the_way / 'feedback.sqlite3'}") as feedback:
        with pytest.raises(FeedbackError, match="cannot be used"):
            await feedback.take(event(image=balloon))
        in_the_way.unlink()
        await feedback.take(event(image=balloon))
        await kept(feedback, 1)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_database_that_hangs_at_the_start_does_not_hold_it_up(
    listening: Listening, balloon: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process holds the lock; the tables are made, and the event is written, when it is gone."""
    file = tmp_path / "locked.sqlite3"
    monkeypatch.setattr(module, "PREPARE_SECONDS", 0.1)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("BEGIN IMMEDIATE")
        async with listening(database_url=f"sqlite:///{file}") as feedback:
            other.execute("ROLLBACK")
            await feedback.take(event(image=balloon))
            await kept(feedback, 1)


async def test_service_that_stops_while_it_reads_leaves_no_connection_open(listening: Listening) -> None:
    """Cancelling what waits for a thread does not end the thread (tests/conftest.py looks for open connections)."""
    async with listening() as feedback:
        reading, stopped = threading.Event(), threading.Event()

        def read() -> None:
            with feedback.database.reading():
                reading.set()
                stopped.wait(20)

        waiting = asyncio.create_task(asyncio.to_thread(read))
        await asyncio.to_thread(reading.wait)
        waiting.cancel()
    stopped.set()


async def test_secrets_of_the_project_are_not_kept(
    listening: Listening, balloon: str, database_url: str, tmp_path: Path
) -> None:
    """Events carry the project's passwords; the database does not."""
    async with listening() as feedback:
        await feedback.take(event(image=balloon))
        await kept(feedback, 1)
    assert b"secret" not in written(tmp_path)


async def test_last_of_ten_updates_counts(listening: Listening, balloon: str) -> None:
    """And an event about an older state, which comes late, changes nothing."""

    def update(number: int) -> bytes:
        drawn = [region()] * number
        return event("ANNOTATION_UPDATED", image=balloon, result=drawn, updated_at=f"2026-01-01T00:00:0{number}Z")

    async with listening() as feedback:
        for number in range(10):
            await feedback.take(update(number))
        (annotation,) = await kept(feedback, 1)
        assert len(annotation.drawn) == 9
        await feedback.take(update(3))
        (annotation,) = await kept(feedback, 1)
        assert len(annotation.drawn) == 9


async def test_what_is_deleted_is_forgotten(listening: Listening, balloon: str) -> None:
    """An annotation by its id, and all of a task's with the task; others stay."""
    async with listening() as feedback:
        for number, task in ((1, 1), (2, 1), (3, 2), (4, 2), (5, 3)):
            await feedback.take(event(number=number, task=task, image=balloon))
        await kept(feedback, 5)
        await feedback.take(deleted("annotations", 1))
        await feedback.take(deleted("tasks", 2))
        assert [each.id for each in await kept(feedback, 2)] == [2, 5]


async def test_two_people_on_one_task_are_two(listening: Listening, balloon: str) -> None:
    """Both count."""
    async with listening() as feedback:
        await feedback.take(event(number=1, image=balloon, completed_by=1))
        await feedback.take(event(number=2, image=balloon, completed_by=2))
        assert {each.annotator for each in await kept(feedback, 2)} == {1, 2}


async def test_skipped_tasks_are_kept_without_detections(listening: Listening, pictures: PictureServer) -> None:
    """Their images are not fetched. An empty submission, though, says that the image has no objects."""
    address = pictures.add("/balloon.png", balloon_file())
    async with listening() as feedback:
        await feedback.take(event(number=1, image=address, was_cancelled=True))
        (skipped,) = await kept(feedback, 1)
        assert not pictures.requests
        await feedback.take(event(number=2, image=address))
        _, empty = await kept(feedback, 2)
    assert (skipped.skipped, skipped.images) == (True, ())
    assert (empty.skipped, empty.drawn, len(empty.images)) == (False, (), 1)


@pytest.mark.parametrize(
    ("path", "problem"),
    [("/none.png", "404"), ("/text.png", "not an image|cannot be read|unknown")],
    ids=["gone", "no image"],
)
async def test_pictures_that_cannot_be_had_are_told(
    listening: Listening, pictures: PictureServer, path: str, problem: str
) -> None:
    """The annotation is kept with the reason, and nothing waits for ever."""
    pictures.add("/text.png", b"no picture")
    async with listening() as feedback:
        await feedback.take(event(image=pictures.url + path, result=[region()]))
        (annotation,) = await kept(feedback, 1)
    assert annotation.images == ()
    assert "task 1" in annotation.problem


async def test_pictures_that_are_late_are_waited_for(listening: Listening, pictures: PictureServer) -> None:
    """A host that answers with an error of its own is asked again, and the event stays meanwhile."""
    address = pictures.add("/balloon.png", Answer(status=503))
    async with listening() as feedback:
        await feedback.take(event(image=address))
        await until(lambda: "could not be fetched as an image" in pending(feedback.database, 3)[1])
        assert (await feedback.state())["waiting"] == 1
        pictures.add("/balloon.png", balloon_file())
        await kept(feedback, 1)


async def test_events_survive_the_process(
    demo_detector: Detector, listening: Listening, database_url: str, balloon: str
) -> None:
    """Events that one process took are processed by the next one."""
    settings = Settings(database_url=database_url, trust_webhooks=True)
    async with feedback_service(settings, demo_detector) as parts:
        deaf = parts.feedback  # takes events, and processes none
        for number in range(1, 21):
            await deaf.take(event(number=number, task=number, image=balloon))
        await deaf.close()
    async with listening() as feedback:
        assert [each.id for each in await kept(feedback, 20)] == list(range(1, 21))


async def test_two_services_on_one_database_share_the_events(
    listening: Listening, balloon: str, database_url: str
) -> None:
    """One of them processes all events of a Postgres; of a file both may, and an event counts once. Each waits for the other's."""
    async with listening() as one, listening() as other:
        if one.database.is_shared:
            with psycopg.connect(database_url, autocommit=True) as connection:
                connection.execute(COUNT_WRITES)
        for number in range(1, 41):
            await (one if number % 2 else other).take(
                event(number=number, task=number, image=balloon, result=[region()])
            )
        assert await one.catch_up(3) == await other.catch_up(3) == []
        assert len(await kept(one, 40, seconds=0)) == 40
        if one.database.is_shared:
            assert one.leads != other.leads
            with psycopg.connect(database_url) as connection:
                assert connection.execute(WRITTEN_TWICE).fetchall() == []


@pytest.mark.parametrize(
    "payload",
    [
        {"annotation": None},
        {"task": None},
        {"task": {"id": "one", "data": {}}},
        {"task": {"data": {"image": "x"}}},
        {"project": {"id": 3, "label_config": None}},
        {"project": {"id": 3, "label_config": "<View"}},
        {"annotation": {"id": 1, "task": 1, "result": {"not": "a list"}, "updated_at": 5, "lead_time": "long"}},
        {"annotation": {"id": 1, "task": 1, "result": [None, 5, {"value": []}], "completed_by": [1], "lead_time": float("nan")}},
    ],
    ids=["no annotation", "no task", "task id", "task without id", "no config", "broken config", "odd fields", "odd regions"],
)  # fmt: skip
async def test_odd_payloads_do_not_stop_the_others(listening: Listening, balloon: str, payload: dict[str, Any]) -> None:
    """They are logged, or processed as far as possible."""
    odd = json.loads(event(image=balloon)) | payload
    async with listening() as feedback:
        await feedback.take(json.dumps(odd).encode())
        await feedback.take(event(number=2, task=2, image=balloon))
        await until(lambda: not pending(feedback.database)[0])
        with feedback.database.reading() as connection:
            found = list(annotations_of(connection, 3))
    assert found[-1].id == 2


ELEPHANTS = (
    '<View><Image name="image" value="$image"/><Choices name="scene" toName="image"><Choice value="Elephant"/>'
    '<Choice value="Dog"/></Choices></View>'
)


@pytest.mark.parametrize(
    ("parts", "shown", "version", "audited", "accepted"),
    [
        ({"lead_time": 3, "parent_prediction": 5}, [["Elephant"]], True, False, False),
        ({"parent_prediction": 5}, [["Elephant"]], True, False, True),
        ({"lead_time": 3, "parent_prediction": None}, None, False, False, False),
        ({"lead_time": 3, "parent_prediction": 5}, [["Elephant"]], True, True, False),
    ],
    ids=["began with a prediction", "accepted in bulk", "began without one", "withheld"],
)
async def test_choices_become_a_record(
    subject_classifier: Classifier,
    database_url: str,
    pictures: PictureServer,
    parts: dict[str, Any],
    shown: list[list[str]] | None,
    version: bool,
    audited: bool,
    accepted: bool,
) -> None:
    """A project of choices only has complete records without detections, and nothing stays queued."""
    image = pictures.add("/a.jpg", subject_file(0, ELEPHANT))
    settings = Settings(database_url=database_url, trust_webhooks=True, holdout_fraction=float(audited))
    choice = {"id": "c", "type": "choices", "from_name": "scene", "to_name": "image", "value": {"choices": ["Dog", 5]}}
    async with feedback_service(settings, subject_classifier) as given, given.feedback.listening():
        await given.feedback.take(event(image=image, result=[choice], label_config=ELEPHANTS, **parts))
        (annotation,) = await kept(given.feedback, 1)
        state = await given.feedback.state()
    assert annotation.choices == (LabelledChoices("scene", 0, ("Dog",)),)
    found = annotation.shown_choices
    assert (None if found is None else [list(each.choices) for each in found]) == shown
    assert (bool(annotation.version), annotation.audited, annotation.accepted) == (version, audited, accepted)
    assert (annotation.drawn, annotation.images, annotation.problem) == ((), (), "")
    assert (annotation.drawable, annotation.odd) == ({"scene": ()}, {"unreadable": 1})
    assert (state["outdated"], state["waiting"]) == (0, 0)


async def test_withheld_boxes_are_audited(listening: Listening, balloon: str) -> None:
    """With PRELABEL_HOLDOUT_FRACTION the prediction was empty although there is something to show."""
    async with listening(holdout_fraction=1) as feedback:
        await feedback.take(event(image=balloon, result=[region()], parent_prediction=5))
        (annotation,) = await kept(feedback, 1)
    assert (annotation.audited, annotation.shown) == (True, ())


async def test_untrusted_events_leave_nothing(demo_detector: Detector, database_url: str, tmp_path: Path) -> None:
    """Without a token there is nobody to ask, and anybody could have sent them."""
    settings = Settings(database_url=database_url)
    async with feedback_service(settings, demo_detector) as parts:
        feedback = parts.feedback
        async with feedback.listening():
            await feedback.take(event(image="x"))
            assert not feedback.listens
            assert pending(feedback.database) == (0, "")
    assert not written(tmp_path)


async def test_locked_database_refuses_in_time_and_takes_events_later(
    demo_detector: Detector, balloon: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process holds the lock: 503 at once, and what was refused is written all the same when the lock is gone."""
    file = tmp_path / "feedback.sqlite3"
    settings = Settings(database_url=f"sqlite:///{file}", trust_webhooks=True)
    async with feedback_service(settings, demo_detector) as parts:
        feedback = parts.feedback
        async with feedback.listening():
            await feedback.take(event(image=balloon))
            await kept(feedback, 1)
            with closing(sqlite3.connect(file, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                monkeypatch.setattr(event_queue, "PATIENCE", 0.04)
                with pytest.raises(FeedbackError, match="sync"):
                    await feedback.take(event(number=2, task=2, image=balloon))
                other.execute("ROLLBACK")
            await kept(feedback, 2)


async def test_file_that_was_taken_away_is_made_again(demo_detector: Detector, balloon: str, tmp_path: Path) -> None:
    """Somebody deleted it while the service ran: events are kept in a new one."""
    folder = tmp_path / "data"
    settings = Settings(database_url=f"sqlite:///{folder / 'feedback.sqlite3'}", trust_webhooks=True)
    async with feedback_service(settings, demo_detector) as parts:
        feedback = parts.feedback
        async with feedback.listening():
            await feedback.take(event(image=balloon))
            await kept(feedback, 1)
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
            await feedback.take(event(number=2, task=2, image=balloon))
            assert [each.id for each in await kept(feedback, 1)] == [2]


async def test_postgres_that_goes_away_comes_back(
    demo_detector: Detector, postgres: PostgresServer, balloon: str
) -> None:
    """Stopped like a crash: events are refused, predictions go on; started again, events are taken again."""
    settings = Settings(database_url=postgres.new_database(), trust_webhooks=True)
    async with feedback_service(settings, demo_detector) as parts:
        feedback, pipeline = parts.feedback, parts.pipeline
        async with feedback.listening():
            await feedback.take(event(image=balloon))
            await kept(feedback, 1)
            postgres.stop()
            try:
                with pytest.raises(FeedbackError):
                    await feedback.take(event(number=2, task=2, image=balloon))
                (answer,) = await pipeline.predict([{"id": 1, "data": {"image": balloon}}], BALLOON_CONFIG)
                assert isinstance(answer, dict)
            finally:
                postgres.start()
            end = time.monotonic() + SECONDS
            while True:
                try:
                    await feedback.take(event(number=3, task=3, image=balloon))
                    break
                except FeedbackError:
                    assert time.monotonic() < end
                    await asyncio.sleep(0.1)
            assert 3 in {each.id for each in await kept(feedback, 2)}


async def test_data_uris_are_processed_and_not_kept(listening: Listening) -> None:
    """The image inside the task is processed; its megabytes are not written once more."""
    inline = "data:image/png;base64," + base64.b64encode(balloon_file() + bytes(100_000)).decode()
    async with listening() as feedback:
        await feedback.take(event(image=inline))
        (annotation,) = await kept(feedback, 1)
    assert (len(annotation.images), annotation.images[0].reference) == (1, "")


def test_default_database_is_a_file() -> None:
    """Without a setting, and it is created with the first write only."""
    database = Database(Settings().database_address)
    assert database.place.startswith("sqlite:///")
    assert not database.exists
    with database.reading() as connection:
        assert connection is None
