"""Projects of Label Studio on the page for trying: their label configs, their pictures, and a label config to write into one.

Everything here uses the operator's token, so it is for those who have the password (:data:`~ml_backend.server.pages.page.Author`).
"""

import asyncio
import difflib
import hashlib
from collections.abc import Callable
from itertools import islice
from typing import Annotated, Any, TypeVar

import msgspec
import structlog
from fastapi import APIRouter, Depends
from fastapi.responses import Response

from ml_backend.errors import LabelConfigError, LabelStudioError, PrelabelError, TaskError
from ml_backend.images.references import parse_reference
from ml_backend.label_studio.client import StudioClient, UncertainError
from ml_backend.label_studio.controls.control import ImageField
from ml_backend.label_studio.label_config import parse_label_config
from ml_backend.label_studio.tasks import images_of
from ml_backend.redaction import printable
from ml_backend.server.bodies import config_request
from ml_backend.server.pages.page import PRIVATE, Author, from_own_page, keep_private, with_password
from ml_backend.server.service import Service, ServiceDependency

log = structlog.get_logger(__name__)

PROJECTS = 100
TASKS = 24  # of a project, to choose pictures from
MAX_LINES = 2000  # that are compared: the time grows with their square

T = TypeVar("T")

router = APIRouter(
    prefix="/try",
    include_in_schema=False,
    dependencies=[Depends(from_own_page), Depends(with_password), Depends(keep_private)],
)


class ChangedError(PrelabelError):
    """The label config of the project is another one than the page has shown."""

    status = 409
    code = "label_config_changed"


class AddressBody(msgspec.Struct):
    """Body of ``POST /try/address``: the address of a picture."""

    address: str


class NewConfigBody(msgspec.Struct):
    """Body of ``POST /try/projects/{project}/label-config``.

    Attributes:
        label_config: XML.
        replaces: ``current`` of the answer that showed the difference; empty to see the difference, without a change.
    """

    label_config: str
    replaces: str = ""


@router.get("/projects")
async def list_projects(service: ServiceDependency) -> list[dict[str, Any]]:
    """List the newest projects."""
    found = await _ask(service, lambda client: client.newest_projects(PROJECTS))
    return [{"id": each.id, "title": printable(str(each.title or ""), 100)} for each in found]


@router.get("/projects/{project}")
async def show_project(project: int, service: ServiceDependency) -> dict[str, Any]:
    """Return the label config of a project, and its first tasks with pictures."""
    config = await _ask(service, lambda client: client.label_config(project))
    tasks = await _ask(service, lambda client: list(islice(client.tasks(project), TASKS)))
    fields = await asyncio.to_thread(_fields, config)
    listed = []
    for task in tasks:
        try:
            values = _images(task, fields)
        except PrelabelError:
            continue
        listed += [{"task": task["id"], "image": number, "name": _name(value)} for number, value in enumerate(values)]
    return {"id": project, "label_config": config, "pictures": listed}


@router.post("/projects/{project}/pictures/{task}/{image}")
async def fetch_picture(project: int, task: int, image: int, service: ServiceDependency) -> Response:
    """Return a picture of a task, as its file is."""
    config = await _ask(service, lambda client: client.label_config(project))
    found = await _ask(service, lambda client: client.tasks_by_id(project, [task]))
    if not found:
        raise TaskError(f"project {project} has no task {task}")
    values = _images(found[0], await asyncio.to_thread(_fields, config))
    if not 0 <= image < len(values):
        raise TaskError(f"task {task} has {len(values)} pictures")
    return await _fetched(service, values[image], found[0], str(project))


@router.post("/address")
async def fetch_address(
    body: Annotated[AddressBody, Depends(config_request(AddressBody))], service: ServiceDependency
) -> Response:
    """Return the picture at an address, as its file is."""
    return await _fetched(service, body.address)


@router.post("/projects/{project}/label-config")
async def write_config(
    project: int,
    body: Annotated[NewConfigBody, Depends(config_request(NewConfigBody))],
    service: ServiceDependency,
    author: Author,
) -> dict[str, Any]:
    """Show what a new label config would change in a project; with ``replaces``, write it."""
    limit = service.settings.label_config_max_bytes
    if len(body.label_config) > limit:
        raise LabelConfigError(
            f"the label config is over the limit of {limit:,} bytes (PRELABEL_LABEL_CONFIG_MAX_BYTES)"
        )
    await asyncio.to_thread(parse_label_config, body.label_config)
    old = await _ask(service, lambda client: client.label_config(project))
    current = hashlib.sha256(old.encode()).hexdigest()
    written = False
    if body.replaces:
        if body.replaces != current:
            raise ChangedError(
                f"the label config of project {project} has changed meanwhile: look at the difference again"
            )
        await _ask(service, lambda client: client.set_label_config(project, body.label_config))
        log.info("label config written", project=project, author=author)
        service.upkeep.changed(project)
        written = True
    difference = await asyncio.to_thread(_difference, old, body.label_config)
    return {"current": current, "difference": difference, "written": written}


async def _fetched(service: Service, value: object, task: object = None, project: str | None = None) -> Response:
    fetched = await service.pipeline.fetch(value, list(service.pipeline.models.by_kind), task, project)
    # Never as a page: the bytes are of somebody else.
    return Response(fetched.data, media_type="application/octet-stream", headers=PRIVATE)


async def _ask(service: Service, call: Callable[[StudioClient], T]) -> T:
    """Ask Label Studio in a thread, once.

    Raises:
        LabelStudioError: its address or token is not set, or it refuses or does not answer.
    """
    try:
        return await asyncio.to_thread(lambda: call(StudioClient.of(service.settings, pauses=())))
    except UncertainError as error:
        raise LabelStudioError(f"Label Studio does not answer: {error}") from None


def _fields(config: str) -> list[ImageField]:
    try:
        controls, _ = parse_label_config(config)
    except LabelConfigError:
        return []
    return list(dict.fromkeys(control.image_field for control in controls))


def _images(task: object, fields: list[ImageField]) -> list[object]:
    return [value for of_field in images_of(task, fields).values() for value in of_field]


def _name(value: object) -> str:
    try:
        return printable(str(parse_reference(value)), 200)
    except PrelabelError:
        return "a picture that cannot be fetched"


def _difference(old: str, new: str) -> list[str]:
    """Return the lines that go (``-``) and come (``+``), with three lines around them; of large label configs, their numbers only."""
    before, after = (config.replace("\r\n", "\n").replace("><", ">\n<").split("\n") for config in (old, new))
    if before != after and max(len(before), len(after)) > MAX_LINES:
        return [f"- {len(before):,} lines", f"+ {len(after):,} lines"]
    return list(difflib.unified_diff(before, after, lineterm=""))[2:]
