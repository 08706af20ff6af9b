"""The routes that Label Studio calls, and the diagnosis page for people."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog
from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from jinja2 import Environment, FileSystemLoader
from prometheus_client import CONTENT_TYPE_LATEST

from ml_backend import __version__
from ml_backend.errors import LabelConfigError, PrelabelError
from ml_backend.server import webhook
from ml_backend.server.auth import authenticate
from ml_backend.server.explain import explain_image
from ml_backend.server.schemas import (
    ExplainRequest,
    ExplainResponse,
    HealthResponse,
    PredictRequest,
    PredictResponse,
    SetupRequest,
    SetupResponse,
    VersionsResponse,
)
from ml_backend.server.service import Service, ServiceOf
from ml_backend.server.status import project_id
from ml_backend.tasks import task_id

log = structlog.get_logger(__name__)

FAILED_TASK: list[Any] = []  # in a task's place: Label Studio keeps the task unpredicted and asks again

_templates = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)


router = APIRouter()
for_users = APIRouter(dependencies=[Depends(authenticate)])


@router.get("/", include_in_schema=False)
@router.get("/health")
async def health() -> HealthResponse:
    """Tell that the service is up. It opens its port only when the detector is warm, so up means ready."""
    return HealthResponse(status="UP", model_class="Prelabel")


@for_users.post("/setup")
async def setup(body: SetupRequest, service: ServiceOf) -> SetupResponse:
    """Tell which version predictions for a label config will carry. Label Studio asks before each `/predict`."""
    service.pipeline.label_studios.learn(str(body.project), body.hostname, body.access_token)
    project = project_id(body.project)
    status = service.statuses.of(project)
    status.model_version = service.pipeline.policies.version_for(body.label_config, str(body.project))
    try:
        status.config_warnings = service.pipeline.policies.of(body.label_config, str(body.project)).warnings
        status.config_problem = ""
    except LabelConfigError as error:
        # An error status would only show as "doesn't look like a valid ML backend"; the page and the log say more.
        status.config_problem = str(error)
        log.warning("label config cannot be served", project=project, cause=str(error))
    return SetupResponse(model_version=status.model_version)


@for_users.post("/predict", response_model=PredictResponse)
async def predict(body: PredictRequest, service: ServiceOf) -> JSONResponse:
    """Predict tasks: one entry for each, in order. A task that failed gets `[]`; the others keep theirs.

    With a drawn rectangle in `params.context` (interactive mode), the answer is the detection that fits it best.
    """
    project = project_id(body.project)
    status = service.statuses.of(project)
    pipeline = service.pipeline
    context = body.params.get("context") if isinstance(body.params, dict) else None
    if context is None:
        answers = await pipeline.predict(
            body.tasks, body.label_config, project=str(body.project), deadline=service.settings.predict_deadline
        )
    else:
        answers = [
            await pipeline.snap(task, body.label_config, context, project=str(body.project)) for task in body.tasks
        ]
    results: list[Any] = []
    for task, answer in zip(body.tasks, answers, strict=True):
        if isinstance(answer, PrelabelError):
            failure = status.record_failure(task_id(task), answer)
            log.warning("task failed", project=project, task=failure.task, code=failure.code, cause=failure.cause)
            results.append(FAILED_TASK)
            outcome = failure.code
        else:
            status.record_prediction(empty=not answer["result"])
            outcome = "predicted"
            results.append(answer)
        pipeline.metrics.tasks.labels(outcome).inc()
    return JSONResponse({"results": results})


@for_users.post("/explain")
async def explain(body: ExplainRequest, service: ServiceOf) -> ExplainResponse:
    """Say of every raw detection in a task's pictures what becomes of it in a project, and why."""
    explained = await service.pipeline.explain(body.task, body.label_config, project=str(body.project))
    return ExplainResponse(images=[explain_image(*each) for each in explained])


@for_users.get("/versions")
async def versions(service: ServiceOf) -> VersionsResponse:
    """List the model versions that projects were last told. Label Studio asks without saying for which project."""
    return VersionsResponse(versions=service.statuses.model_versions())


@for_users.get("/metrics", response_class=Response)
async def metrics(service: ServiceOf) -> Response:
    """Give the figures of this process in Prometheus' text format."""
    await service.pipeline.check_cache()
    return Response(service.pipeline.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


@for_users.get("/status", response_class=Response)
async def show_status(request: Request, service: ServiceOf) -> Response:
    """Show what runs here and what went wrong lately: a page for browsers, JSON for everything else."""
    detector = service.pipeline.detector
    label_studio = await service.pipeline.check_label_studio()
    report = {
        "version": __version__,
        "model": {
            "handle": detector.handle,
            "name": detector.name,
            "fingerprint": detector.fingerprint,
            "contract": str(detector.contract),
        },
        "score_threshold": service.settings.model_score_threshold,
        "cache": [asdict(tier) for tier in await service.pipeline.check_cache()],
        "model_runs": int(service.pipeline.metrics.value("prelabel_model_runs_total")),
        "label_studio": {"ok": label_studio.ok, "finding": label_studio.sentence},
        "warnings": service.start_warnings,
        "events": service.events.to_json(),
        "learning": await service.listener.state(),
        "projects": {
            name: status | {"revision": _revision(service, name)} for name, status in service.statuses.to_json().items()
        },
    }
    if "text/html" in request.headers.get("Accept", ""):
        return HTMLResponse(_templates.get_template("status.html").render(report))
    return JSONResponse(report)


def _revision(service: Service, project: str) -> int:
    revision = service.revisions.of(int(project)) if project.isdecimal() else None
    return revision.number if revision else 0


router.include_router(for_users)
router.include_router(webhook.router)
