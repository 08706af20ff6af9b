"""``prelabel feedback``, ``prelabel report`` and ``prelabel calibrate``: corrections, reports on them, and calibration from them."""

from __future__ import annotations

import asyncio
import getpass
import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ml_backend.cli.common import MARKDOWN, Model, app, complain, err, load_models, out, plain_errors
from ml_backend.errors import LabelStudioError, SettingsError
from ml_backend.logs import configure_logging
from ml_backend.settings import Settings, load_settings

if TYPE_CHECKING:
    from PIL import Image

    from ml_backend.feedback.evaluation.annotators import AnnotatorFigures
    from ml_backend.feedback.evaluation.candidates import Review
    from ml_backend.feedback.evaluation.report import Report
    from ml_backend.feedback.evaluation.report_page import Candidates
    from ml_backend.feedback.learning.project_calibration import CalibrationResult
    from ml_backend.inference.models import Models
    from ml_backend.label_studio.client import StudioClient

feedback_app = typer.Typer(
    help="Corrections that people made in Label Studio.", no_args_is_help=True, rich_markup_mode=MARKDOWN
)
app.add_typer(feedback_app, name="feedback")

ProjectId = Annotated[int, typer.Option("--project", metavar="ID", help="Project of Label Studio.")]
WITH_CROPS = 24  # candidates for a second look on the page
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


@feedback_app.command()
def sync(project: ProjectId, model: Model = None) -> None:
    """Read the annotations of a project from Label Studio: for blocked webhooks, or after a time without the service.

    Run it as often as you like: only changed annotations are processed. Ends with status 1 if some could not be processed.
    """
    with plain_errors():
        settings = load_settings(model=model)
        configure_logging("warning")
        from ml_backend.label_studio.client import StudioClient

        with err.status(f"asking for project {project}"):
            StudioClient.of(settings).project(project)  # a wrong token is found before TensorFlow is loaded
        annotations, changed, problems = asyncio.run(_sync(settings, load_models(settings), project))
        out.print(f"project {project}: {annotations} annotations, {changed} of them new or changed", highlight=False)
        for problem in problems[:20]:
            complain(problem)
        if len(problems) > 20:
            complain(f"and {len(problems) - 20} more")
    if problems:
        raise typer.Exit(1)


async def _sync(settings: Settings, models: Models, project: int) -> tuple[int, int, list[str]]:
    from ml_backend.feedback.ingest.service import EVENT_PAUSES, FeedbackService, IngestOptions
    from ml_backend.feedback.learning.revisions import CurrentRevisions
    from ml_backend.feedback.store.database import Database
    from ml_backend.feedback.store.detectors import CurrentDetector
    from ml_backend.label_studio.client import StudioClient
    from ml_backend.pipeline.prediction import Pipeline

    current, client = (
        CurrentDetector(models.main.fingerprint[:8], models.main.name),
        StudioClient.of(settings, EVENT_PAUSES),
    )
    with closing(Database(settings.database_address)) as database:
        revisions = CurrentRevisions(database, models.main.fingerprint)
        revisions.refresh()
        async with Pipeline(settings, models, revisions.overrides) as pipeline:
            feedback = FeedbackService(database, pipeline, current, client, IngestOptions.of(settings))
            with err.status("reading tasks") as status:
                try:
                    return await feedback.sync(project, lambda count: status.update(f"reading tasks ({count:,})"))
                finally:
                    await feedback.close()


@app.command()
def report(
    project: ProjectId,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a self-contained HTML page with curves and images.")
    ] = None,
    anonymous: Annotated[
        bool, typer.Option("--anonymous", help="Number the annotators in place of their names.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show how accurate the boxes and choices of a project are: kept, changed, removed and added ones, by label, choice and annotator.

    Annotators have their names in Label Studio where its token may read them, else their ids there.
    """
    with plain_errors():
        settings = load_settings()
        configure_logging("warning")
        from ml_backend.cli.feedback_tables import print_learning, print_report
        from ml_backend.feedback.evaluation.annotators import anonymize
        from ml_backend.feedback.learning.project_report import make_project_report
        from ml_backend.feedback.learning.revisions import set_aside_sentence
        from ml_backend.feedback.store.database import Database
        from ml_backend.label_studio.client import StudioClient

        with closing(Database(settings.database_address)) as database, err.status("evaluating annotations"):
            made = make_project_report(database, project, settings)
            listed = None
            if html is not None and made.figures.has_boxes:
                from ml_backend.feedback.learning.review import review_project

                with database.reading() as connection:
                    listed = review_project(connection, made.state.project, settings, WITH_CROPS)
        figures, state = made.figures, made.state
        if anonymous:
            anonymize(figures.annotators)
        elif figures.annotators:
            _name(figures.annotators, StudioClient.if_set(settings, pauses=()))
        values = made.to_json()
        if html is not None:
            from ml_backend.feedback.evaluation.report_page import render

            with err.status("fetching images"):
                images, candidates = asyncio.run(_draw(settings, project, figures, listed))
            page = render(figures, state.project, state.revision, state.waiting, images, values["learning"], candidates)
            html.write_text(page, encoding="utf-8")
        if as_json:
            out.out(json.dumps(values, indent=2), highlight=False)
            return
        print_report(figures)
        print_learning(state.last_training, made.calibration)
        if not figures.seen.annotations and not figures.unseen.annotations:
            complain(f"project {project} has no annotations in the database {database.place}", style="yellow")
        if state.revision and state.revision.is_aside(state.detector):
            complain(set_aside_sentence(state.revision), style="yellow")
        if state.waiting:
            why = f": {state.problem}" if state.problem else ""
            complain(f"{state.waiting} events wait to be processed{why}", style="yellow")
        if html is not None:
            err.print(f"the page is {html}", highlight=False, soft_wrap=True)


def _name(annotators: Sequence[AnnotatorFigures], client: StudioClient | None) -> None:
    from ml_backend.feedback.learning.project_report import name_annotators

    if client is None:
        return
    try:
        name_annotators(annotators, client.user_names())
    except LabelStudioError as error:
        complain(f"annotators are shown by their ids: {error}", style="yellow")


async def _draw(
    settings: Settings, project: int, figures: Report, listed: Review | None
) -> tuple[dict[int, Image.Image | str], Candidates | None]:
    """Return the images of the page with the most edits, and the candidates with their crops."""
    from ml_backend.feedback.evaluation.report_images import draw_crops, draw_worst
    from ml_backend.feedback.evaluation.report_page import Candidates

    images = await draw_worst(settings, project, figures.worst)
    if listed is None:
        return images, None
    return images, Candidates(listed, await draw_crops(settings, project, listed.candidates))


@app.command()
def calibrate(
    project: ProjectId,
    target: Annotated[
        float | None,
        typer.Option(
            "--target-precision",
            help="Precision to reach: the share of shown boxes that are right, between 0 and 1. It costs annotators time. [default: "
            "model_target_precision of the label config, else PRELABEL_TARGET_PRECISION, else none: thresholds by effort]",
        ),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Apply the changes, as the project's next revision.")] = False,
    revert: Annotated[bool, typer.Option("--revert", help="Revert to the revision before the current one.")] = False,
    author: Annotated[
        str | None, typer.Option(help="Name to record with the revision. [default: the user of this machine]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Set thresholds and labels of classes from corrections of boxes. Shows the changes, and applies them with --apply only.

    Boxes are shown where they spare annotators time, or with --target-precision where so many of them are right.
    Running services take over a revision within seconds. Label Studio then asks for new predictions, which do not rerun the model.
    """
    with plain_errors():
        if apply and revert:
            raise SettingsError("--apply and --revert: choose one")
        if target is not None and not 0 < target < 1:
            raise SettingsError(f"--target-precision {target}: expected a number between 0 and 1, such as 0.9")
        settings = load_settings()
        configure_logging("warning")
        from ml_backend.cli.feedback_tables import print_proposal
        from ml_backend.feedback.learning.project_calibration import (
            CalibrationOptions,
            calibrate_project,
            revert_project,
        )
        from ml_backend.feedback.store.database import Database

        who = author or _user()
        with closing(Database(settings.database_address)) as database:
            if revert:
                revision = revert_project(database, project, who)
                out.print(f"in force: {revision}", highlight=False, markup=False)
                return
            with err.status("evaluating annotations"):
                result = calibrate_project(database, project, CalibrationOptions.of(settings, target))
            applied = result.apply(database, who) if apply else None
        number = applied.number if applied else result.current.number if result.current else 0
        if as_json:
            values: dict[str, Any] = {"project": project, "revision": number, "applied": applied is not None}
            changes = {"anything": result.proposal.anything, "learned": result.proposal.overrides.to_json()}
            out.out(json.dumps(values | changes | result.proposal.to_json(), indent=2), highlight=False)
            return
        print_proposal(result.proposal)
        out.print(_outcome(result, applied=applied is not None, number=number), highlight=False, soft_wrap=True)


def _outcome(result: CalibrationResult, *, applied: bool, number: int) -> str:
    if applied:
        return f"in force: revision {number} of project {result.project.id}"
    if not result.proposal.anything:
        return "nothing would change" + (f"; revision {number} stays in force" if number else "")
    return "nothing is changed yet: --apply applies these changes"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # containers run under user ids without a name
        return "unknown"
