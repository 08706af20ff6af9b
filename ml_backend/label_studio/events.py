"""Parser of the events that Label Studio 1.23.2 posts to ``/webhook``: the objects that may have changed.

Events carry no authentication, so they are hints. Bodies can have 10 MB: msgspec extracts the fields that are needed without
building the rest. The payload of a trusted event keeps their original bytes, without the tokens and passwords beside them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

START_TRAINING = "START_TRAINING"
PROJECT_UPDATED = "PROJECT_UPDATED"

# Events with annotations. The other known actions have none.
ANNOTATED = {"ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_CREATED"}
KNOWN_ACTIONS = ANNOTATED | {
    START_TRAINING,
    "ANNOTATIONS_DELETED",
    "TASKS_CREATED",
    "TASKS_DELETED",
    PROJECT_UPDATED,
    "PROJECT_CREATED",
    "PROJECT_DELETED",
    "LABEL_LINK_CREATED",
    "LABEL_LINK_UPDATED",
    "LABEL_LINK_DELETED",
}
MALFORMED, UNKNOWN = "malformed", "unknown"
MAX_ID = 2**31 - 1  # of the column in the database, and in Label Studio's

Kind = Literal["task", "annotation", "project", "detections"]

_NULL = msgspec.Raw(b"null")


@dataclass(frozen=True, slots=True)
class ChangedObject:
    """An object of Label Studio that may have changed.

    Attributes:
        kind: of object; ``detections`` is a task without detections of the current detector.
        project: id of its project.
        object: its own id.
        payload: its data in the event: JSON of ``annotation``, ``task`` and ``label_config``; empty where it was deleted or is not trusted.
    """

    kind: Kind
    project: int
    object: int
    payload: bytes = b""


@dataclass(frozen=True, slots=True)
class Event:
    """A parsed event.

    Attributes:
        action: of Label Studio; ``unknown`` or ``malformed`` for everything else.
        project: id of the project; 0 where none is named.
        changed_objects: what may have changed.
    """

    action: str
    project: int = 0
    changed_objects: tuple[ChangedObject, ...] = ()


class _Body(msgspec.Struct):
    action: msgspec.Raw = _NULL
    project: msgspec.Raw = _NULL
    annotation: msgspec.Raw = _NULL
    annotations: msgspec.Raw = _NULL
    task: msgspec.Raw = _NULL
    tasks: msgspec.Raw = _NULL


class _Numbered(msgspec.Struct):
    id: msgspec.Raw = _NULL
    task: msgspec.Raw = _NULL
    label_config: msgspec.Raw = _NULL


def read_event(body: bytes, *, trusted: bool) -> Event:
    """Read the body of an event.

    Args:
        body: any bytes.
        trusted: whether to keep the annotations in the event as payloads.

    Returns:
        The event; its action is ``malformed`` or ``unknown`` for a body that cannot be used.
    """
    try:
        read = msgspec.json.decode(body, type=_Body)
        action = msgspec.json.decode(read.action)
        if not isinstance(action, str):
            return Event(MALFORMED)
        if action not in KNOWN_ACTIONS:
            return Event(UNKNOWN)
        about = _numbered(read.project)
        project = _id(about.id) or _id(read.project) or 0
        if action == PROJECT_UPDATED:
            changed: list[ChangedObject] = [
                ChangedObject("project", project, project, _payload(about=about) if trusted else b"")
            ]
        else:
            changed = list(_changed_objects(action, project, read, about, trusted=trusted))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return Event(MALFORMED)
    return Event(action, project, tuple(each for each in changed if each.project and each.object))


def _changed_objects(
    action: str, project: int, read: _Body, about: _Numbered, *, trusted: bool
) -> Iterator[ChangedObject]:
    if action in ANNOTATED:
        tasks = {_id(_numbered(raw).id): raw for raw in _each(read.task)}
        for raw in _each(read.annotation):
            annotation = _numbered(raw)
            task = _id(annotation.task) or (next(iter(tasks)) if len(tasks) == 1 else None) or 0
            if trusted:
                payload = _payload(annotation=raw, task=tasks.get(task), about=about)
                yield ChangedObject("annotation", project, _id(annotation.id) or 0, payload)
            else:
                yield ChangedObject("task", project, task)
    elif action == "ANNOTATIONS_DELETED":
        for raw in _each(read.annotations):
            yield ChangedObject("annotation", project, _id(_numbered(raw).id) or 0)
    elif action == "TASKS_DELETED":
        for raw in _each(read.tasks):
            yield ChangedObject("task", project, _id(_numbered(raw).id) or 0)


def _payload(annotation: msgspec.Raw = _NULL, task: msgspec.Raw | None = None, about: _Numbered | None = None) -> bytes:
    parts: dict[str, Any] = {
        "annotation": annotation,
        "task": task or _NULL,
        "label_config": about.label_config if about else _NULL,
    }
    return msgspec.json.encode(parts)


def _each(raw: msgspec.Raw) -> list[msgspec.Raw]:
    """Return the objects in a list, or a single object as a list of one."""
    if _begins(raw, b"["):
        return msgspec.json.decode(raw, type=list[msgspec.Raw])
    return [raw] if _begins(raw, b"{") else []


def _numbered(raw: msgspec.Raw) -> _Numbered:
    return msgspec.json.decode(raw, type=_Numbered) if _begins(raw, b"{") else _Numbered()


def _begins(raw: msgspec.Raw, mark: bytes) -> bool:
    return bytes(memoryview(raw)[:1]) == mark


def _id(raw: msgspec.Raw) -> int | None:
    text = bytes(raw)
    return int(text) if text.isdigit() and len(text) < 11 and 0 < int(text) <= MAX_ID else None
