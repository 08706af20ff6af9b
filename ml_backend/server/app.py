"""The service as an ASGI application: its parts, the routes, and error responses in JSON."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ml_backend import __version__
from ml_backend.errors import PrelabelError, RequestError
from ml_backend.feedback.ingest.service import EVENT_PAUSES, FeedbackService, IngestOptions
from ml_backend.feedback.learning.learner import Learner, LearnOptions
from ml_backend.feedback.learning.project_calibration import CalibrationOptions
from ml_backend.feedback.learning.revisions import CurrentRevisions
from ml_backend.feedback.learning.trainer import Trainer
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.detectors import CurrentDetector
from ml_backend.inference.models import Models
from ml_backend.label_studio.client import StudioClient
from ml_backend.pipeline.prediction import Pipeline
from ml_backend.projects.upkeep import ProjectUpkeep
from ml_backend.server.measuring import MeasuredRequests
from ml_backend.server.pages.project_data import ProjectData
from ml_backend.server.pages.project_pictures import ProjectPictures
from ml_backend.server.routes import router
from ml_backend.server.schemas import ErrorResponse
from ml_backend.server.service import Service
from ml_backend.settings import Settings
from ml_backend.tracing import Traces

log = structlog.get_logger(__name__)


def create_app(settings: Settings, models: Models) -> FastAPI:
    """Return the service for loaded models: it can predict as soon as it answers."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with _service(settings, models) as service:
            app.state.service = service
            probe = asyncio.create_task(_log_connections(service.pipeline))
            yield
            probe.cancel()

    app = FastAPI(
        title="Prelabel",
        version=__version__,
        summary="Image pre-annotation for Label Studio: tasks in, rectangles out.",
        lifespan=lifespan,
        responses={500: {"model": ErrorResponse}},
        docs_url=None,  # in api_docs.py, behind the password
        redoc_url=None,
        openapi_url=None,
    )
    app.include_router(router)
    app.add_middleware(MeasuredRequests)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(PrelabelError, _on_prelabel_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_parameter)
    app.add_exception_handler(Exception, _on_unexpected_error)
    return app


@asynccontextmanager
async def _service(settings: Settings, models: Models) -> AsyncIterator[Service]:
    async with AsyncExitStack() as stack:
        database = Database(settings.database_address)
        stack.callback(database.close)
        revisions = CurrentRevisions(database, models.main.fingerprint)
        stack.callback(revisions.close)
        await asyncio.to_thread(revisions.start)
        pipeline = await stack.enter_async_context(Pipeline(settings, models, revisions.overrides))
        feedback = FeedbackService(
            database,
            pipeline,
            CurrentDetector(models.main.fingerprint[:8], models.main.name),
            StudioClient.if_set(settings, EVENT_PAUSES),
            IngestOptions.of(settings),
        )
        await stack.enter_async_context(feedback.listening())

        def leads() -> bool:
            return feedback.leads

        trainer = Trainer(
            database,
            feedback,
            revisions,
            options=CalibrationOptions.of(settings),
            timeout=settings.predict_deadline,
        )
        stack.push_async_callback(trainer.close)
        if feedback.listens:
            await stack.enter_async_context(Learner(database, trainer, LearnOptions.of(settings), leads).running())
        upkeep = ProjectUpkeep(
            StudioClient.if_set(settings, pauses=()),
            pipeline.postprocessors,
            revisions,
            keeps=settings.keep_projects_current,
            leads=leads,
        )
        stack.push_async_callback(upkeep.close)
        upkeep.start()
        projects = ProjectData(database, settings)
        stack.push_async_callback(projects.close)
        traces = Traces.from_settings(settings)
        if traces is not None:
            stack.callback(traces.close)
        yield Service(
            settings,
            pipeline,
            revisions,
            feedback,
            trainer,
            upkeep,
            start_warnings=[*settings.warnings(), *models.notes],
            traces=traces,
            projects=projects,
            pictures=ProjectPictures(projects, pipeline),
        )


async def _log_connections(pipeline: Pipeline) -> None:
    for tier in await pipeline.check_cache():
        if tier.problem:
            log.warning(
                "a cache tier does not answer; continuing without it",
                tier=tier.name,
                place=tier.place,
                cause=tier.problem,
            )
        else:
            log.info("cache", tier=tier.name, place=tier.place, entries=tier.usage.entries if tier.usage else 0)
    finding = await pipeline.check_label_studio()
    log.log(logging.WARNING if finding.ok is False else logging.INFO, finding.sentence)


def _answer(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": {"code": code, "message": message}}, status, headers)


async def _on_http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - as above
    phrase = (
        "Content Too Large" if error.status_code == 413 else HTTPStatus(error.status_code).phrase
    )  # renamed in Python 3.13
    code = phrase.lower().replace(" ", "_")
    return _answer(error.status_code, code, error.detail, error.headers)


async def _on_invalid_parameter(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - as above
    place, text = next((".".join(map(str, each["loc"])), str(each["msg"])) for each in error.errors())
    return _answer(RequestError.status, RequestError.code, f"{place}: {text[:1].lower()}{text[1:]}")


async def _on_prelabel_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, PrelabelError)  # noqa: S101 - as above
    if error.public != str(error):
        log.warning("request failed", code=error.code, cause=str(error))
    return _answer(error.status, error.code, error.public)


async def _on_unexpected_error(_: Request, __: Exception) -> JSONResponse:
    return _answer(PrelabelError.status, PrelabelError.code, "an error inside Prelabel; its log has the details")
