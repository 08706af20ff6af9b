"""The page of a project: ``prelabel report``, live, with the proposal of learning to apply and to take back."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import parse_qs

import structlog
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from ml_backend.errors import PrelabelError, UnknownProjectError
from ml_backend.feedback.learning.project_report import ProjectState
from ml_backend.feedback.store.revisions import Revision
from ml_backend.server.auth import authenticate
from ml_backend.server.pages.page import PRIVATE, Author, from_own_page, has_password, render, with_password
from ml_backend.server.pages.project_view import figures_of, history_of, pictures_of, proposal_of, review_of
from ml_backend.server.pages.studio_facts import StudioFacts
from ml_backend.server.receiving import receive
from ml_backend.server.service import Service, ServiceDependency

log = structlog.get_logger(__name__)

WAIT_SECONDS = 10  # for figures, before the page says that they are being computed
SOON_SECONDS = 2  # for what comes after them
FORM_BYTES = 10_000
MOST = 2**31 - 1  # the largest id that both databases can hold
INTERNAL = "an error inside Prelabel; its log has the details"

T = TypeVar("T")

router = APIRouter(prefix="/projects/{project}", include_in_schema=False, dependencies=[Depends(authenticate)])


async def _number(project: str) -> int:
    """Return the id of a project in an address.

    Raises:
        UnknownProjectError: it is none.
    """
    if not (project.isascii() and project.isdecimal() and int(project[:11]) <= MOST):
        raise UnknownProjectError("projects are numbered, as in the addresses of Label Studio")
    return int(project)


Number = Annotated[int, Depends(_number)]


@router.get("")
async def show(project: str, request: Request, service: ServiceDependency) -> Response:
    """Return the page for browsers, whose figures a script fetches; for other clients the JSON of ``prelabel report``."""
    if "text/html" not in request.headers.get("Accept", ""):
        return await _report(await _number(project), service)
    try:
        number = await _number(project)
        state = await _state(number, service)
    except PrelabelError as error:
        return _problem_page(error, project, service)
    title = state.project.title if state else ""
    return render("project.html", _shell(number, title, service), up="../")


async def _report(project: int, service: Service) -> Response:
    state = await service.projects.state(project)
    facts = await _facts(project, service)
    made = await service.projects.figures.exact(state)
    proposed = await service.projects.proposals.exact(state)

    def written() -> bytes:
        values = state.report_json(made.value.named(facts), proposed.value.calibration)
        return json.dumps(values, ensure_ascii=False).encode(errors="replace")

    return Response(await service.projects.in_thread(written), media_type="application/json", headers=PRIVATE)


async def _state(project: int, service: Service) -> ProjectState | None:
    """Return the state of a project; None where it is connected and nothing was corrected yet.

    Raises:
        PrelabelError: nobody knows the project, or the database cannot be used.
    """
    try:
        return await service.projects.state(project)
    except UnknownProjectError:
        if str(project) in service.statuses.to_json():
            return None
        raise


async def _facts(project: int, service: Service) -> StudioFacts:
    """Return what Label Studio says of a project; names of its users only where a password guards them."""
    facts = await service.projects.studio.about(project)
    return facts if has_password(service.settings) else replace(facts, names={})


def _shell(project: int, title: str, service: Service) -> dict[str, Any]:
    label_studio = service.settings.label_studio_url
    return {
        "project": project,
        "title": title,
        "studio": f"{label_studio}/projects/{project}" if label_studio else "",
    }


@router.get("/figures")
async def figures(
    project: Number, request: Request, service: ServiceDependency, *, whole: Annotated[bool, Query()] = False
) -> Response:
    """Return the sections of the page, and 304 where they are those that the script has; ``whole``: as a page of their own."""
    values = await _sections(project, service, "." if whole else str(project))
    if whole:
        values |= _shell(project, values["title"], service) | {"whole": True}
        page = await service.projects.in_thread(lambda: render("project.html", values, up="../../"))
        page.status_code = values["status"]
        if values.get("computing"):
            page.headers["Refresh"] = "5"
        return page
    page = await service.projects.in_thread(lambda: render("project_figures.html", values))
    page.status_code = values["status"]
    page.headers["ETag"] = tag = f'"{hashlib.sha256(bytes(page.body)).hexdigest()[:32]}"'
    if request.headers.get("If-None-Match") == tag:
        return Response(status_code=304, headers={"ETag": tag, **PRIVATE})
    return page


async def _sections(project: int, service: Service, at: str) -> dict[str, Any]:
    """Return the values of the sections. What cannot be had has a sentence in its place.

    Args:
        project: its id.
        service: the parts of the application.
        at: the way from the address of the page to that of the project.
    """
    name = str(project)
    password = has_password(service.settings)
    values: dict[str, Any] = {
        "status": 200,
        "title": "",
        "at": at,
        "project": project,
        "password": password,
        "mode": service.settings.learn,
        "listens": service.feedback.listens,
        "activity": service.statuses.to_json().get(name),
        "upkeep": service.upkeep.state(name),
    }
    facts, (state, error) = await asyncio.gather(_facts(project, service), _tried(_state(project, service)))
    values["facts"] = facts
    if error is not None:
        return values | {"status": error.status, "problem": _sentence(error)}
    if state is None:
        return values | {"nothing_yet": True}
    values |= {
        "title": state.project.title,
        "state": state,
        **history_of(state, service.settings.model_score_threshold),
    }
    made, error = await _tried(service.projects.figures.get(state, WAIT_SECONDS))
    if error is not None:
        return values | {"status": error.status, "problem": _sentence(error)}
    if made is None:
        return values | {"status": 202, "computing": True, "evaluated": service.projects.evaluated(project)}
    values |= figures_of(made, facts) | {"older": made.state.version != state.version}
    values["pictures"] = pictures_of("worst", made.value.worst, values["view"], at, shown=password)
    proposed, error = await _tried(service.projects.proposals.get(state, SOON_SECONDS))
    if error is not None:
        values["proposal_problem"] = _sentence(error)
    if proposed is not None:
        values |= proposal_of(proposed, values["view"])
    review, error = await _tried(service.projects.reviews.get(state, SOON_SECONDS))
    if review is not None and review.value is not None:
        values |= review_of(review.value, values["view"], at, shown=password)
    values["reviewing"] = review is None and error is None
    return values


async def _tried(work: Awaitable[T]) -> tuple[T | None, PrelabelError | None]:
    """Return what some work returns, or why it failed."""
    try:
        return await work, None
    except PrelabelError as error:
        return None, error
    except Exception:  # one part of the page, of which the others are good
        log.exception("a part of the page of a project failed unexpectedly")
        return None, PrelabelError(INTERNAL)


@router.get("/pictures/{kind}/{place}", dependencies=[Depends(with_password)])
async def picture(
    project: Number, kind: Literal["worst", "check"], place: int, service: ServiceDependency, of: str = ""
) -> Response:
    """Return an image with the most edits, or a crop of a box to check."""
    drawn = await service.pictures.draw(project, kind, place, of)
    return Response(drawn, media_type="image/jpeg", headers=PRIVATE)


@router.post("/apply", dependencies=[Depends(from_own_page)])
async def apply(project: Number, request: Request, service: ServiceDependency, author: Author) -> Response:
    """Apply the proposal that the page showed, as Start Training and ``prelabel calibrate --apply`` do."""
    form = await _form(request, "digest")
    return await _changed(service.trainer.apply(project, form["digest"], author), request, project, service)


@router.post("/revert", dependencies=[Depends(from_own_page)])
async def revert(project: Number, request: Request, service: ServiceDependency, author: Author) -> Response:
    """Take back the revision that the page showed, as ``prelabel calibrate --revert`` does."""
    form = await _form(request, "after")
    after = int(form["after"][:10]) if form["after"].isdecimal() else -1
    return await _changed(service.trainer.revert(project, after, author), request, project, service)


async def _form(request: Request, *names: str) -> dict[str, str]:
    """Return the fields of a form; missing ones are empty."""
    body = await receive(request, FORM_BYTES, "a form of the page is smaller")
    found = parse_qs(body.decode("ascii", "replace"))
    return {name: found.get(name, [""])[0] for name in names}


async def _changed(work: Awaitable[Revision], request: Request, project: int, service: Service) -> Response:
    """Answer a change: a sentence as JSON to the script, the page to a form that was sent without it."""
    by_script = "text/html" not in request.headers.get("Accept", "")
    try:
        revision = await work
    except PrelabelError as error:
        if by_script:
            raise
        return _problem_page(error, str(project), service, "../../")
    if by_script:
        answer = {"revision": revision.number, "sentence": f"In force: {revision}."}
        return Response(json.dumps(answer), media_type="application/json", headers=PRIVATE)
    return RedirectResponse("figures?whole=1", 303, headers=PRIVATE)


def _problem_page(error: PrelabelError, project: str, service: Service, up: str = "../") -> HTMLResponse:
    """Return the page of a project with a sentence in place of its figures; ``up`` as for :func:`render`."""
    known = project.isascii() and project.isdecimal()
    values = _shell(int(project[:11]), "", service) if known else {"project": "", "title": "", "studio": ""}
    page = render("project.html", values | {"problem": _sentence(error), "code": error.code}, up=up)
    page.status_code = error.status
    return page


def _sentence(error: PrelabelError) -> str:
    """Return the public text of an error as a sentence."""
    text = error.public or HTTPStatus(error.status).phrase
    return f"{text[:1].upper()}{text[1:]}".rstrip(".") + "."
