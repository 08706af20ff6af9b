"""Events of Label Studio 1.23.2, and whatever else comes to an open port."""

import json
from typing import Any

import pytest

from ml_backend.label_studio.events import ChangedObject, Event, read_event

PROJECT = {"id": 3, "label_config": "<View/>", "task_data_password": "secret"}
ANNOTATION = {"id": 6, "task": 333, "result": [], "updated_at": "2026-01-01"}
TASK = {"id": 333, "data": {"image": "a.jpg"}}


def _event(action: str, **more: Any) -> bytes:
    return json.dumps({"action": action, "project": PROJECT, **more}).encode()


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        (_event("ANNOTATION_CREATED", annotation=ANNOTATION, task=TASK), [ChangedObject("task", 3, 333)]),
        (_event("ANNOTATION_UPDATED", annotation=ANNOTATION, task=TASK, news={"of": ["a", "later", "version"]}), [ChangedObject("task", 3, 333)]),
        (_event("ANNOTATION_CREATED", annotation={"id": 6}, task=TASK), [ChangedObject("task", 3, 333)]),
        (
            _event("ANNOTATIONS_CREATED", annotation=[ANNOTATION, {"id": 7, "task": 334}], task=[TASK, {"id": 334}]),
            [ChangedObject("task", 3, 333), ChangedObject("task", 3, 334)],
        ),
        (_event("ANNOTATIONS_DELETED", annotations=[{"id": 1}, {"id": 2}]), [ChangedObject("annotation", 3, 1), ChangedObject("annotation", 3, 2)]),
        (_event("TASKS_DELETED", tasks=[{"id": 333}]), [ChangedObject("task", 3, 333)]),
        (_event("PROJECT_UPDATED"), [ChangedObject("project", 3, 3)]),
        (_event("START_TRAINING"), []),
        (_event("TASKS_CREATED", tasks=[TASK]), []),
    ],
    ids=["created", "updated", "task named by the task only", "from predictions", "deleted", "tasks deleted", "project", "training", "import"],
)  # fmt: skip
def test_events_say_where_to_look(body: bytes, changed: list[ChangedObject]) -> None:
    """And nothing else: what they hold is not trusted."""
    event = read_event(body, trusted=False)
    assert (list(event.changed_objects), event.project, event.action) == (changed, 3, json.loads(body)["action"])


def test_trusted_events_are_kept_without_the_secrets_beside_them() -> None:
    """Annotation, task and label config; a project carries passwords and tokens."""
    (changed,) = read_event(
        _event("ANNOTATION_CREATED", annotation=ANNOTATION, task=TASK), trusted=True
    ).changed_objects
    assert (changed.kind, changed.object) == ("annotation", 6)
    assert json.loads(changed.payload) == {"annotation": ANNOTATION, "task": TASK, "label_config": "<View/>"}
    (gone,) = read_event(_event("ANNOTATIONS_DELETED", annotations=[{"id": 6}]), trusted=True).changed_objects
    assert gone == ChangedObject("annotation", 3, 6)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"action": "<script>"}', "unknown"),
        (b'{"action": ["x"]}', "malformed"),
        (b"{}", "malformed"),
        (b"[]", "malformed"),
        (b"5", "malformed"),
        (b"\xff", "malformed"),
        (b'{"action": "\xff"}', "malformed"),
        (b"", "malformed"),
        (b"[" * 100_000, "malformed"),
        (b'{"action": "TASKS_DELETED", "project": ' + b"[" * 100_000, "malformed"),
    ],
    ids=["unknown", "no text", "empty", "a list", "a number", "not text", "no UTF-8", "nothing", "deep", "deep inside"],
)
def test_what_is_no_event_is_told_by_its_kind(body: bytes, kind: str) -> None:
    """Whatever comes, since anybody can send it."""
    assert read_event(body, trusted=False) == Event(kind)


@pytest.mark.parametrize(
    "parts",
    [
        {"annotation": ANNOTATION | {"task": 2**40}, "task": None},
        {"annotation": ANNOTATION | {"task": -1}, "task": 5},
        {"annotation": ANNOTATION | {"task": "333"}, "task": "x"},
        {"annotation": 5},
        {"annotation": [[], None, "x"]},
        {"annotation": ANNOTATION, "project": {"id": 0}},
        {"annotation": ANNOTATION, "project": None},
        {},
    ],
    ids=["id beyond the column", "negative", "a text", "a number", "a list of anything", "project 0", "no project", "nothing"],
)  # fmt: skip
def test_parts_that_are_not_what_they_should_be_hint_at_nothing(parts: dict[str, Any]) -> None:
    """The event is counted."""
    body = json.dumps({"action": "ANNOTATION_CREATED", "project": PROJECT} | parts).encode()
    event = read_event(body, trusted=False)
    assert (event.action, event.changed_objects) == ("ANNOTATION_CREATED", ())
