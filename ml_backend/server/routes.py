"""The routes that Label Studio calls, metrics, and the status page."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, NamedTuple

import msgspec
import structlog
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from ml_backend import __version__
from ml_backend.errors import LabelConfigError, PrelabelError, StoppingError
from ml_backend.inference.classifier import Classifier
from ml_backend.inference.detector import Detector
from ml_backend.label_studio.project_id import parse_project_id
from ml_backend.label_studio.regions import Prediction
from ml_backend.label_studio.tasks import task_id
from ml_backend.model_results import ModelKind
from ml_backend.redaction import printable
from ml_backend.server import api_docs, webhook
from ml_backend.server import explain as explanations
from ml_backend.server.auth import Credentials, authenticate
from ml_backend.server.bodies import (
    ExplainBody,
    PredictBody,
    PredictRequest,
    SetupBody,
    config_request,
    explain_request,
    openapi_body,
    predict_request,
)
from ml_backend.server.pages import page, project, studio_projects, try_it
from ml_backend.server.schemas import (
    ErrorResponse,
    ExplainResponse,
    HealthResponse,
    PredictResponse,
    SetupResponse,
    VersionsResponse,
)
from ml_backend.server.service import Service, ServiceDependency
from ml_backend.server.status import FAILURES, MAX_CAUSE_LENGTH, ProjectStatus, status_key
from ml_backend.stages import Stage

log = structlog.get_logger(__name__)

LOGGED_FAILURES = 20  # different causes in one request that are logged


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": ErrorResponse} for status in statuses}


OF_BODIES = (400, 408, 413, 415, 422)  # the errors of requests with a body

router = APIRouter()
# Dependencies of a router run first: no body is read before the password is checked.
for_users = APIRouter(dependencies=[Depends(authenticate)], responses=_errors(401))


@router.get("/health")
async def health() -> HealthResponse:
    """Report that the service answers. While the models load, the port answers 503."""
    return HealthResponse(status="UP", model_class="Prelabel")


@router.get("/", include_in_schema=False)
async def start(request: Request, service: ServiceDependency, given: Credentials) -> Response:
    """Show the page to try pictures to browsers; other clients get the answer of `/health`."""
    if not _wants_page(request):
        return JSONResponse((await health()).model_dump())
    await authenticate(request, given)
    return try_it.show_try(service)


@router.get("/ready", responses=_errors(503))
async def ready(request: Request) -> HealthResponse:
    """Report to a balancer that new requests may be sent here: as `/health`, and 503 from SIGTERM on.

    Label Studio asks `/health` before it predicts, and would give up.
    """
    if getattr(request.app.state, "ends", False):
        raise StoppingError("the service ends")
    return HealthResponse(status="UP", model_class="Prelabel")


@for_users.post("/setup", openapi_extra=openapi_body(SetupBody), responses=_errors(*OF_BODIES))
async def setup(
    body: Annotated[SetupBody, Depends(config_request(SetupBody))], service: ServiceDependency
) -> SetupResponse:
    """Return the model version of predictions for a label config. Label Studio asks before each `/predict`."""
    name = None if body.project is None else str(body.project)
    if name is not None:
        service.pipeline.label_studios.learn(name, body.hostname, body.access_token)
    project = status_key(name)
    status = service.statuses.of(project)
    postprocessors = service.pipeline.postprocessors
    try:
        postprocessor = await postprocessors.load(body.label_config, name)
        status.model_version = postprocessors.version_of(postprocessor)
        status.config_warnings, status.config_problem = postprocessor.warnings, ""
        service.upkeep.called(name, status.model_version)
    except LabelConfigError as error:
        # Label Studio shows any error status as "doesn't look like a valid ML backend"; the status page and the log have the cause.
        if status.config_problem != str(error):  # asked before each prediction: log it once
            log.warning("label config cannot be served", project=project, cause=str(error))
        status.config_problem = str(error)
        status.model_version = postprocessors.version_of_unserved(body.label_config)
    return SetupResponse(model_version=status.model_version)


@for_users.post(
    "/predict", response_model=PredictResponse, openapi_extra=openapi_body(PredictBody), responses=_errors(*OF_BODIES)
)
async def predict(body: Annotated[PredictRequest, Depends(predict_request)], service: ServiceDependency) -> Response:
    """Predict tasks: one entry for each, in order. A task that failed gets `[]`; the others keep theirs.

    With a drawn rectangle in `params.context` (interactive mode), the prediction is the detection that fits it best.
    """
    answers = await service.pipeline.predict(
        body.tasks,
        body.label_config,
        project=body.project,
        deadline=service.settings.predict_deadline,
        context=body.context,
        convert=_encode,
    )
    answering = service.pipeline.metrics.stage("answer").begin()
    await _record(service, status_key(body.project), body.tasks, answers)
    # For [], Label Studio stores no prediction and asks again.
    entries = (b"[]" if isinstance(each, PrelabelError) else each.json for each in answers)
    return _LastStage(b'{"results":[' + b",".join(entries) + b"]}", answering)


class _LastStage(Response):
    """An answer in JSON whose sending ends the last stage of its request."""

    def __init__(self, content: bytes, stage: Stage) -> None:
        super().__init__(content, media_type="application/json")
        self._stage = stage

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(scope, receive, send)
        self._stage.end()


class _Encoded(NamedTuple):
    json: bytes
    empty: bool
    model_version: str


_Answer = _Encoded | PrelabelError


def _encode(prediction: Prediction) -> _Encoded:
    return _Encoded(msgspec.json.encode(prediction), not prediction["result"], prediction["model_version"])


async def _record(service: Service, project: str, tasks: Sequence[object], answers: Sequence[_Answer]) -> None:
    """Count the answers, and record failures: one line of the log for all tasks with the same cause."""
    failed, empty = await asyncio.to_thread(_outcomes, answers)
    predicted = len(answers) - sum(len(indexes) for _, indexes in failed)
    status = service.statuses.of(project)
    status.record_predictions(predicted, empty=empty)
    # Other clients than Label Studio predict without asking /setup first.
    status.model_version = next(
        (each.model_version for each in answers if isinstance(each, _Encoded)), status.model_version
    )
    counts = service.pipeline.metrics.tasks
    counts.labels("predicted").inc(predicted)
    for error, indexes in failed:
        counts.labels(error.code).inc(len(indexes))
    for error, indexes in failed[:LOGGED_FAILURES]:
        _log_failure(status, project, [tasks[index] for index in indexes[:FAILURES]], len(indexes), error)
    if unlogged := failed[LOGGED_FAILURES:]:
        status.failed += sum(len(indexes) for _, indexes in unlogged)
        log.warning("tasks failed for further reasons", project=project, reasons=len(unlogged))


def _outcomes(answers: Sequence[_Answer]) -> tuple[list[tuple[PrelabelError, list[int]]], int]:
    """Return the errors with the indexes of their tasks, once for each cause, and the number of predictions without regions."""
    failed: dict[tuple[str, str], tuple[PrelabelError, list[int]]] = {}
    empty = 0
    for index, answer in enumerate(answers):
        if isinstance(answer, PrelabelError):
            failed.setdefault((answer.code, str(answer)), (answer, []))[1].append(index)
        else:
            empty += answer.empty
    return list(failed.values()), empty


def _log_failure(
    status: ProjectStatus, project: str, tasks: Sequence[object], count: int, error: PrelabelError
) -> None:
    failure = status.record_failures([task_id(task) for task in tasks], count, error)
    log.warning(
        "task failed" if count == 1 else "tasks failed",
        project=project,
        task=failure.task,
        tasks=count,
        code=failure.code,
        cause=printable(str(error), MAX_CAUSE_LENGTH),
    )


@for_users.post("/explain", openapi_extra=openapi_body(ExplainBody), responses=_errors(*OF_BODIES, 502))
async def explain(
    body: Annotated[tuple[object, str, str | None], Depends(explain_request)], service: ServiceDependency
) -> ExplainResponse:
    """List every raw detection in a task's images and every choice, whether it is shown, and why."""
    task, label_config, project = body
    return explanations.explain(await service.pipeline.explain(task, label_config, project=project))


@for_users.get("/versions")
async def versions(service: ServiceDependency) -> VersionsResponse:
    """List the model versions of all projects. Label Studio asks without naming a project."""
    return VersionsResponse(versions=service.statuses.model_versions())


@for_users.get("/metrics", response_class=Response)
async def metrics(service: ServiceDependency) -> Response:
    """Return the metrics of this process in Prometheus' text format."""
    await service.pipeline.check_cache()
    service.pipeline.metrics.events_waiting.set(await service.feedback.waiting())
    return Response(service.pipeline.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


@for_users.get("/status", response_class=Response)
async def show_status(request: Request, service: ServiceDependency) -> Response:
    """Show versions, connections, recent activity and failures: a page for browsers, JSON for other clients."""
    models = service.pipeline.models
    service.upkeep.check_soon()
    label_studio = await service.pipeline.check_label_studio()
    report = {
        "version": __version__,
        "model": _model(models.main),
        "models": [_model(model) for model in models.all],
        "score_threshold": service.settings.model_score_threshold,
        "cache": [asdict(tier) for tier in await service.pipeline.check_cache()],
        "model_runs": {kind: int(_runs(service, kind)) for kind in models.by_kind},
        "label_studio": {"ok": label_studio.ok, "finding": label_studio.sentence},
        "warnings": service.start_warnings,
        "events": dict(service.feedback.received),
        "learning": await service.feedback.state() | {"mode": service.settings.learn, "set_aside": service.set_aside()},
        "projects": {
            name: status | {"revision": _revision(service, name), "upkeep": service.upkeep.state(name)}
            for name, status in service.statuses.to_json().items()
        },
    }
    if _wants_page(request):
        return page.render("status.html", report)
    return JSONResponse(report)


def _wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("Accept", "")


def _model(model: Detector | Classifier) -> dict[str, str]:
    return {
        "kind": model.kind,
        "handle": model.handle,
        "name": model.name,
        "fingerprint": model.fingerprint,
        "contract": str(model.contract),
        "runtime": model.runtime,
    }


def _runs(service: Service, kind: ModelKind) -> float:
    return service.pipeline.metrics.value("prelabel_model_runs_total", model=kind)


def _revision(service: Service, project: str) -> int:
    number = parse_project_id(project)
    revision = None if number is None else service.revisions.of(number)
    return revision.number if revision else 0


router.include_router(for_users)
router.include_router(webhook.router)
router.include_router(api_docs.router)
router.include_router(page.router)
router.include_router(try_it.router)
router.include_router(studio_projects.router)
router.include_router(project.router)
