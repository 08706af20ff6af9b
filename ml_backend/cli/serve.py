"""``prelabel serve`` and ``prelabel doctor``."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import closing
from typing import Annotated

import structlog
import typer

from ml_backend.cli.common import Classifier, Model, app, err, load_models, out, plain_errors
from ml_backend.errors import CacheError, FeedbackError, LabelStudioError, ModelLoadError
from ml_backend.images.fetch import ImageFetcher
from ml_backend.label_studio.connections import LabelStudios
from ml_backend.label_studio.health import Finding
from ml_backend.logs import configure_logging
from ml_backend.settings import Settings, load_settings


@app.command()
def serve(
    model: Model = None,
    classifier: Classifier = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on. [default: PRELABEL_HOST, else 0.0.0.0]")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on. [default: PORT, else 9090]")] = None,
) -> None:
    """Start the service that Label Studio connects to."""
    with plain_errors():
        settings = load_settings(model=model, classifier=classifier, host=host, port=port)
        configure_logging(settings.log_level, settings.log_format)
        from ml_backend.server.running import Shutdown, StartupListener
        from ml_backend.server.running import serve as run

        # The first process of a container ignores SIGTERM by default, and loading can take minutes. The server sets its own handler.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        with StartupListener(settings.host, settings.port) as listener:
            models = load_models(settings)
            log = structlog.get_logger("prelabel")
            for each in models.all:
                log.info("model", kind=each.kind, runtime=each.runtime)
            for warning in [*settings.warnings(), *_openness(settings), *_unwritable(settings)]:
                log.warning(warning)
            from ml_backend.server.app import create_app

            def ready() -> None:
                log.info(
                    "ready",
                    **{each.kind: f"{each.name}@{each.fingerprint[:8]}" for each in models.all},
                    url=f"http://{settings.host}:{settings.port}",
                    inference_workers=settings.inference_workers,
                )

            run(create_app(settings, models), listener, settings.max_connections, ready, Shutdown.of(settings))


def _openness(settings: Settings) -> list[str]:
    """Return a warning about who can use the service without a password."""
    if settings.basic_auth_user is not None:
        return []
    here = settings.host in {"localhost", "::1"} or settings.host.startswith("127.")
    callers = "every program on this machine" if here else f"every client that reaches {settings.host}:{settings.port}"
    return [
        f"BASIC_AUTH_USER and BASIC_AUTH_PASS are not set: {callers} can ask for predictions, see /status and start training"
    ]


def _unwritable(settings: Settings) -> list[str]:
    """Return a warning about a database that takes no corrections, where they are read. Predictions do not need it."""
    from ml_backend.feedback.store.database import Database

    with closing(Database(settings.database_address)) as database:
        try:
            database.check_writable()
        except FeedbackError as error:
            return [f"corrections cannot be kept: {error}"] if settings.reads_corrections else []
    return []


_HEADS = {True: ("ok", "green"), False: ("WRONG", "red"), None: ("not set", "yellow")}
"""The first word of a finding of the doctor, with its colour."""


@app.command()
def doctor(model: Model = None, classifier: Classifier = None) -> None:
    """Check the settings, the connection to Label Studio, the cache and the models.

    Prints what to change, and exits with status 1 if something is wrong. An optional setting that is not set is not wrong.
    """
    with plain_errors():
        settings = load_settings(model=model, classifier=classifier)
        configure_logging("warning")
        for note in settings.warnings():
            out.print("note   ", style="yellow", end=" ")
            out.print(note, markup=False, highlight=False, soft_wrap=True)
        findings = [
            asyncio.run(_check_label_studio(settings)),
            asyncio.run(_check_cache(settings)),
            _check_corrections(settings),
        ]
        if findings[0].ok:
            findings += _check_projects(settings)
        try:
            models = load_models(settings)
            findings += [
                Finding(
                    ok=True, sentence=f"The {each.kind} {each.name} is loaded and warm. It is run by {each.runtime}."
                )
                for each in models.all
            ]
        except ModelLoadError as error:
            findings.append(Finding(ok=False, sentence=f"{error}"))
    for finding in findings:
        word, style = _HEADS[finding.ok]
        out.print(f"{word:7}", style=style, end=" ")
        out.print(finding.sentence, markup=False, highlight=False, soft_wrap=True)
    if any(finding.ok is False for finding in findings):
        raise typer.Exit(1)


def _check_corrections(settings: Settings) -> Finding:
    from ml_backend.feedback.store.database import Database
    from ml_backend.feedback.store.event_queue import pending

    with closing(Database(settings.database_address)) as database:
        try:
            database.check_writable()
            waiting, problem = pending(database)
        except FeedbackError as error:
            return Finding(ok=False, sentence=f"Corrections cannot be kept: {error}.")
        if problem:
            return Finding(
                ok=False, sentence=f"Corrections waiting to be processed in {database.place}: {waiting}. {problem}."
            )
        return Finding(
            ok=True, sentence=f"Corrections are kept in {database.place}; waiting to be processed: {waiting}."
        )


def _check_projects(settings: Settings) -> list[Finding]:
    from ml_backend.label_studio.client import StudioClient
    from ml_backend.projects.diagnosis import survey

    try:
        with err.status("asking Label Studio for projects and their models"):
            return survey(StudioClient.of(settings, pauses=()), keeps=settings.keep_projects_current)
    except LabelStudioError as error:
        return [Finding(ok=False, sentence=f"Projects cannot be checked: {error}.")]


async def _check_label_studio(settings: Settings) -> Finding:
    async with ImageFetcher.from_settings(settings) as fetcher:
        return await fetcher.check(LabelStudios.from_settings(settings).configured)


async def _check_cache(settings: Settings) -> Finding:
    from ml_backend.cache.stores.registry import open_store

    store = open_store(settings)
    if store is None:
        return Finding(ok=True, sentence=f"PRELABEL_CACHE={settings.cache}: detections are lost with a restart.")
    try:
        usage = await store.usage()
    except CacheError as error:
        return Finding(
            ok=False,
            sentence=f"The cache in {store.location} cannot be used: {error}. Prelabel works without it, more slowly.",
        )
    finally:
        await store.close()
    return Finding(ok=True, sentence=f"The cache in {store.location} answers; entries: {usage.entries:,}.")
