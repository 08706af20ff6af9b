"""What Label Studio is answered when it posts events, and when somebody presses Start Training."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from corrections import annotation
from samples import BALLOON_CONFIG
from waiting import wait_until

from ml_backend.feedback.store import event_queue as journal
from ml_backend.feedback.store.annotation_records import put_annotation
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.projects import Project, put_project
from ml_backend.feedback.store.revisions import apply
from ml_backend.postprocessing.overrides import LabelOverrides
from ml_backend.settings import Settings

Serve = Callable[..., str]

ANNOTATED = {
    "action": "ANNOTATION_CREATED",
    "project": {"id": 3},
    "annotation": {"id": 1, "task": 2},
    "task": {"id": 2},
}
TRAINING = {"action": "START_TRAINING", "project": {"id": 3}}


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a slow disk be slow: events that are refused since they take too long are tested with the journal."""
    monkeypatch.setattr(journal, "PATIENCE", 20)


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ({}, "counted"),
        ({"label_studio_url": "http://127.0.0.1:9", "label_studio_api_key": "t" * 40}, "kept"),
        ({"trust_webhooks": True}, "kept"),
    ],
    ids=["nobody to ask", "read back with the token", "trusted"],
)
def test_events_are_kept_where_they_can_be_used(serve: Serve, settings: dict[str, Any], status: str) -> None:
    """The answer says which; Label Studio does not look at it."""
    answer = httpx.post(f"{serve(**settings)}/webhook", json=ANNOTATED)
    assert (answer.status_code, answer.json()) == (201, {"status": status})


def test_label_studio_that_is_away_makes_events_wait(serve: Serve) -> None:
    """The status page says how many, and why."""
    url = serve(label_studio_url="http://127.0.0.1:9", label_studio_api_key="t" * 40)
    httpx.post(f"{url}/webhook", json=ANNOTATED)
    wait_until(lambda: httpx.get(f"{url}/status").json()["learning"]["problem"])
    state = httpx.get(f"{url}/status").json()["learning"]
    assert (state["listens"], state["waiting"]) == (True, 1)
    page = httpx.get(f"{url}/status", headers={"Accept": "text/html"}).text
    assert "Corrections waiting to be processed: 1" in page


def test_events_that_cannot_be_stored_are_refused(serve: Serve, tmp_path: Path) -> None:
    """503 with the reason and what to do, and everything else goes on."""
    (tmp_path / "file").write_text("in the way of the folder")
    url = serve(trust_webhooks=True, database_url=f"sqlite:///{tmp_path / 'file' / 'feedback.sqlite3'}")
    answer = httpx.post(f"{url}/webhook", json=ANNOTATED)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "feedback")
    assert "cannot be used" in answer.json()["error"]["message"]
    assert httpx.get(f"{url}/health").status_code == 200
    assert httpx.get(f"{url}/status").status_code == 200


def test_event_that_the_database_takes_late_is_refused_but_counted(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written as soon as the database is free; until then the status page counts it as waiting."""
    file = tmp_path / "locked.sqlite3"
    url = serve(label_studio_url="http://127.0.0.1:9", label_studio_api_key="t" * 40, database_url=f"sqlite:///{file}")
    monkeypatch.setattr(journal, "PATIENCE", 0.04)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert httpx.post(f"{url}/webhook", json=ANNOTATED).status_code == 503
        status = httpx.get(f"{url}/status").json()
        assert (status["events"], status["learning"]["waiting"]) == ({"ANNOTATION_CREATED": 1}, 1)
        other.execute("ROLLBACK")
    wait_until(lambda: httpx.get(f"{url}/status").json()["learning"]["problem"])
    assert httpx.get(f"{url}/status").json()["learning"]["waiting"] == 1


@pytest.mark.parametrize(
    ("given", "status"),
    [(None, 401), (("me", "wrong"), 401), (("me", "pw"), 404)],
    ids=["nothing", "wrong password", "right"],
)
def test_training_needs_the_password(serve: Serve, given: tuple[str, str] | None, status: int) -> None:
    """It changes what is shown, and Label Studio sends user and password with it; with them it says that there is nothing to learn from."""
    url = serve(basic_auth_user="me", basic_auth_pass="pw")
    answer = httpx.post(f"{url}/webhook", json=TRAINING, auth=given)
    assert answer.status_code == status
    if status == 404:
        assert "feedback sync --project 3" in answer.json()["error"]["message"]


def test_status_tells_the_last_training(serve: Serve, tmp_path: Path) -> None:
    """When, by whom, and why nothing changed; and how the work of another detector comes along."""
    settings = {"database_url": f"sqlite:///{tmp_path / 'feedback.sqlite3'}", "trust_webhooks": True}
    with closing(Database(Settings(**settings).database_address)) as database, database.writing() as connection:
        put_project(connection, Project(3, "Kites", BALLOON_CONFIG))
        put_annotation(connection, annotation(detector="0123abcd", problem="gone"))
    applied: dict[str, Any] = {"detector": "0123abcd", "author": "Ada", "evidence": {}, "after": 0}
    with closing(Database(Settings(**settings).database_address)) as database:
        apply(database, 3, LabelOverrides.of({("label", "Kite"): 0.7}), **applied)
    url = serve(**settings)
    answer = httpx.post(f"{url}/webhook", json=TRAINING)
    assert (answer.status_code, answer.json()["status"]) == (201, "unchanged")
    state = httpx.get(f"{url}/status").json()["learning"]
    (training,) = state["trainings"]
    assert (training["project"], training["author"], training["outcome"]) == (3, "Start Training", "unchanged")
    assert "Kite: 0 pictures could be judged, 5 are needed" in training["message"]
    (sentence,) = state["set_aside"]
    assert sentence.startswith("revision 1 of project 3 belongs to another detector (0123abcd) and is set aside")
    wait_until(lambda: httpx.get(f"{url}/status").json()["learning"]["outdated"] == 0)
    page = httpx.get(f"{url}/status", headers={"Accept": "text/html"}).text
    for text in (training["at"][:16].replace("T", " "), "Start Training", "5 are needed", "is set aside"):
        assert text in page


def test_training_is_asked_for_in_json_only(serve: Serve) -> None:
    """Browsers send forms and plain text across sites, with the password that they remember and without asking."""
    answer = httpx.post(f"{serve()}/webhook", content=json.dumps(TRAINING), headers={"Content-Type": "text/plain"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("header", ["Basic", "Basic !", "Basic bm8gY29sb24=", "Bearer x"])
def test_event_with_a_malformed_password_counts(serve: Serve, header: str) -> None:
    """Only Start Training needs the password; a proxy may add a header of its own to events."""
    url = serve(basic_auth_user="me", basic_auth_pass="pw")
    answer = httpx.post(f"{url}/webhook", json={"action": "TASKS_CREATED"}, headers={"Authorization": header})
    assert answer.status_code == 201


def test_training_of_no_project_is_refused(serve: Serve) -> None:
    """With a reason."""
    answer = httpx.post(f"{serve()}/webhook", json={"action": "START_TRAINING"})
    assert (answer.status_code, answer.json()["error"]["message"]) == (422, "the event names no project")


def test_events_beyond_the_limit_are_refused(serve: Serve) -> None:
    """413, and how to catch up."""
    answer = httpx.post(f"{serve()}/webhook", content=b" " * 50_000_001)
    assert answer.status_code == 413
    assert "feedback sync" in answer.json()["error"]["message"]
