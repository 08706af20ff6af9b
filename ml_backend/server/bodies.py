"""Parses request bodies, in a thread and into the fields that are needed.

msgspec skips all other fields without building them. Label Studio sends each task with its annotations and old predictions: 144 MB for
3,000 tasks with eight predictions each, which take the json module 4 s and msgspec 0.1 s.
"""

import asyncio
import re
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Request
from msgspec import Meta, Raw

from ml_backend.errors import RequestError, TaskError
from ml_backend.label_studio.tasks import is_task_id
from ml_backend.redaction import printable
from ml_backend.server.receiving import receive, require_json
from ml_backend.settings import Settings

ESCAPED = 6  # bytes of JSON that one byte of text can take: é is \u00e9
OTHER_FIELDS_BYTES = 1_000_000  # bytes, for the fields that have no limit of their own

MAX_VALUES = 200_000  # in a task's data, or in the regions that an annotator drew: built at once, more would block the event loop
STEP = 1_000_000  # bytes that are scanned at once, so that the event loop gets its turn

_LONE_SURROGATE = re.compile(
    rb"\\u[dD](?:[89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..\\u[dD])[c-fC-F][0-9a-fA-F]{2})"
)

T = TypeVar("T")

LABEL_CONFIG_EXAMPLE = (
    '<View><Image name="image" value="$image"/>'
    '<RectangleLabels name="label" toName="image"><Label value="Car"/><Label value="Person"/></RectangleLabels></View>'
)

LabelConfig = Annotated[
    str, Meta(description="the project's label config (XML)", extra_json_schema={"example": LABEL_CONFIG_EXAMPLE})
]
ProjectName = Annotated[
    str | int | None,
    Meta(
        description="`<project id>.<time of creation>`, as Label Studio sends it",
        extra_json_schema={"example": "1.1795326029"},
    ),
]


def _null() -> Raw:
    return Raw(b"null")  # as a factory, since a plain default would show in the schema


class Task(msgspec.Struct):
    """A Label Studio task. Its fields are parsed later, so that an invalid task fails alone."""

    id: Annotated[
        Raw, Meta(description="Label Studio's task id", extra_json_schema={"type": "integer", "minimum": 1})
    ] = msgspec.field(default_factory=_null)
    data: Annotated[
        Raw,
        Meta(
            description="the task's data; the label config says which key holds the image",
            extra_json_schema={"type": "object", "example": {"image": "/data/upload/1/73f47284-street.jpg"}},
        ),
    ] = msgspec.field(default_factory=_null)

    def __post_init__(self) -> None:
        """Count the task. Other threads run meanwhile: msgspec holds the interpreter's lock until it calls Python.

        Raises:
            RequestError: there are more tasks than the limit; the rest of the body is not parsed.
        """
        _count.tasks += 1
        if _count.tasks > _count.max_tasks:
            raise RequestError(
                f"the request has over {_count.max_tasks:,} tasks (PRELABEL_MAX_TASKS): select fewer, or use `prelabel bootstrap`"
            )


class _TaskCount(threading.local):
    """The number of tasks in the body that this thread parses, and its limit."""

    tasks = 0
    max_tasks = 1


_count = _TaskCount()


class PredictBody(msgspec.Struct):
    """Body of ``POST /predict``. An invalid task fails alone."""

    tasks: Annotated[list[Task], Meta(description="the tasks to predict")]
    label_config: LabelConfig
    project: ProjectName = None
    params: Annotated[
        Raw,
        Meta(
            description="`context` in it holds the regions that an annotator just drew (interactive mode); the rest is not read",
            extra_json_schema={"example": {"login": None, "password": None, "context": None}},
        ),
    ] = msgspec.field(default_factory=_null)


class SetupBody(msgspec.Struct):
    """Body of ``POST /setup``. Its token is that of the project's creator, and is neither logged nor shown."""

    label_config: LabelConfig = msgspec.field(name="schema")
    project: ProjectName = None
    hostname: Annotated[
        Any,
        Meta(
            description="the address that Label Studio believes it has",
            extra_json_schema={"example": "http://localhost:8080"},
        ),
    ] = None
    access_token: Annotated[Any, Meta(description="a legacy token, used only where none is configured")] = None


class ExplainBody(msgspec.Struct):
    """Body of ``POST /explain``."""

    task: Task
    label_config: LabelConfig
    project: ProjectName = None


def openapi_body(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the OpenAPI description of a body, for a route's ``openapi_extra``."""
    _, components = msgspec.json.schema_components([kind])

    def whole(schema: Any) -> Any:
        if isinstance(schema, dict):
            named = components.get(schema.get("$ref", "").rpartition("/")[2], schema)
            return {key: whole(value) for key, value in named.items()}
        return [whole(each) for each in schema] if isinstance(schema, list) else schema

    schema = whole(components[kind.__name__])
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


class _Params(msgspec.Struct):
    context: Raw = msgspec.field(default_factory=_null)


@dataclass(frozen=True, slots=True)
class PredictRequest:
    """A request for predictions.

    Attributes:
        tasks: each with its id and data, or the error that it fails with.
        label_config: XML.
        project: as Label Studio names it, or None.
        context: the regions that an annotator just drew; None outside interactive mode.
    """

    tasks: list[object]
    label_config: str
    project: str | None
    context: object


async def predict_request(request: Request) -> PredictRequest:
    """Return the request of ``POST /predict``."""
    settings, stage = _settings(request), request.app.state.service.pipeline.metrics.stage
    with stage("receive"):
        body = await _received(request, settings.request_max_bytes, "PRELABEL_REQUEST_MAX_BYTES")
    with stage("parse"):
        return await _parsed(body, lambda body: _predict(body, settings))


def config_request(kind: type[T]) -> Callable[[Request], Awaitable[T]]:
    """Return the dependency of a route whose body has a label config and little else.

    Args:
        kind: of the body.
    """

    async def read(request: Request) -> T:
        limit = OTHER_FIELDS_BYTES + ESCAPED * _settings(request).label_config_max_bytes
        return await _read(request, limit, "PRELABEL_LABEL_CONFIG_MAX_BYTES", lambda body: _decode(body, kind))

    return read


async def explain_request(request: Request) -> tuple[object, str, str | None]:
    """Return task, label config and project of ``POST /explain``."""
    return await _read(request, _settings(request).request_max_bytes, "PRELABEL_REQUEST_MAX_BYTES", _explain)


async def _read(request: Request, limit: int, setting: str, read: Callable[[bytearray], T]) -> T:
    return await _parsed(await _received(request, limit, setting), read)


async def _received(request: Request, limit: int, setting: str) -> bytearray:
    require_json(request)
    return await receive(request, limit, f"send less at once, or raise {setting}")


async def _parsed(body: bytearray, read: Callable[[bytearray], T]) -> T:
    try:
        return await asyncio.to_thread(read, body)
    except msgspec.ValidationError as error:
        raise RequestError(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f"the body cannot be parsed as JSON: {error}") from None


def _decode(body: bytearray, kind: type[T], max_tasks: int = 1) -> T:
    _count.tasks, _count.max_tasks = 0, max_tasks
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        # JSON can escape a lone surrogate, which is no valid text: one task with it must not fail the others.
        parts = (body[start : start + STEP] for start in range(0, len(body), STEP))
        mended = b"".join(_LONE_SURROGATE.sub(rb"\\ufffd", part) for part in parts)
        _count.tasks = 0
        return msgspec.json.decode(mended, type=kind)


def _predict(body: bytearray, settings: Settings) -> PredictRequest:
    read = _decode(body, PredictBody, settings.max_tasks)
    params = msgspec.json.decode(read.params, type=_Params) if _is_object(read.params) else _Params()
    context = _values(params.context, "the drawn regions have")
    return PredictRequest(list(map(_task, read.tasks)), read.label_config, _project(read.project), context)


def _explain(body: bytearray) -> tuple[object, str, str | None]:
    read = _decode(body, ExplainBody)
    return _task(read.task), read.label_config, _project(read.project)


def _task(task: Task) -> object:
    """Return the id and data of a task, or the error that it fails with."""
    text = bytes(task.id)
    number = int(text) if len(text) < 20 and text.isdigit() else None
    if text != b"null" and not is_task_id(number):
        shown = printable(text[:60].decode("utf-8", "replace"), 30)
        return TaskError(f"the task's id is {shown}; expected a positive whole number")
    try:
        return {"id": number, "data": _values(task.data, "the task's data has")}
    except RequestError as error:
        return TaskError(str(error))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return TaskError(f"the task cannot be parsed: {error}")


def _values(text: Raw, subject: str) -> Any:
    """Return the values of a JSON text.

    Raises:
        RequestError: there are more than :data:`MAX_VALUES`.
    """
    view = memoryview(text)
    count = 0
    for start in range(0, len(view), STEP):
        part = bytes(view[start : start + STEP])
        count += part.count(b",") + part.count(b"[") + part.count(b"{")
        if count > MAX_VALUES:
            raise RequestError(f"{subject} over {MAX_VALUES:,} values")
    return msgspec.json.decode(text)


def _is_object(raw: Raw) -> bool:
    return bytes(memoryview(raw)[:1]) == b"{"


def _project(name: str | int | None) -> str | None:
    return None if name is None else str(name)


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.service.settings
    return settings
