"""The route for Label Studio's webhook events and its Start Training button."""

from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse

from ml_backend.feedback.learning.trainer import Trained
from ml_backend.label_studio.events import PROJECT_UPDATED, START_TRAINING
from ml_backend.server.auth import authenticate, scheme
from ml_backend.server.receiving import receive, require_json
from ml_backend.server.schemas import ErrorResponse, WebhookResponse
from ml_backend.server.service import ServiceDependency

MAX_EVENT_BYTES = 50_000_000  # bytes; an annotation of 10,000 boxes has 4 MB

OTHER_ANSWERS: dict[int | str, dict[str, Any]] = {
    202: {"model": WebhookResponse},
    **{status: {"model": ErrorResponse} for status in (400, 401, 408, 413, 415, 422, 502, 503)},
}

router = APIRouter()


@router.post(
    "/webhook",
    status_code=201,
    response_model=WebhookResponse,
    response_model_exclude_none=True,
    responses=OTHER_ANSWERS,
)
async def webhook(request: Request, service: ServiceDependency) -> Any:
    """Take an event. Label Studio sends it without authentication, so its content is not trusted: the changed object is read back.

    Start Training comes with user and password, and requires them if they are set.
    """
    body = await receive(request, MAX_EVENT_BYTES, "`prelabel feedback sync` catches up")
    event = await service.feedback.take(bytes(body))
    service.pipeline.metrics.events.labels(event.action).inc()
    if event.action == PROJECT_UPDATED and event.project:
        service.upkeep.changed(event.project)
    if event.action == START_TRAINING:
        require_json(request)
        await authenticate(request, await scheme(request))
        if not event.project:
            raise HTTPException(422, "the event names no project")
        return _training_response(event.project, await service.trainer.train(event.project))
    return WebhookResponse(status="kept" if service.feedback.listens and event.changed_objects else "counted")


def _training_response(project: int, trained: Trained | None) -> WebhookResponse | JSONResponse:
    if trained is None:
        answer = WebhookResponse(
            status="training", job=f"prelabel-{project}", message="training continues; the log says when it is done"
        )
        return JSONResponse(answer.model_dump(exclude_none=True), 202)
    revision = trained.revision or trained.result.current
    number = revision.number if revision else 0
    return WebhookResponse(
        status="trained" if trained.revision else "unchanged",
        job=f"prelabel-{project}-revision-{number}",
        revision=number,
        message="; ".join([trained.result.summary(), *trained.problems[:20]]),
    )
