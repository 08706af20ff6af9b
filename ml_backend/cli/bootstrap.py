"""``prelabel bootstrap``: predicts a whole source of images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ml_backend.cli.common import (
    Classifier,
    Model,
    Tiles,
    app,
    complain,
    err,
    load_models,
    plain_errors,
    read_label_config,
    renamed,
)
from ml_backend.errors import BootstrapError
from ml_backend.label_studio.label_config import label_config_for
from ml_backend.logs import configure_logging
from ml_backend.settings import Settings, load_settings
from ml_backend.vocabularies.open_images import open_images_classes

if TYPE_CHECKING:
    from ml_backend.bootstrap.reporters import Quiet
    from ml_backend.postprocessing.postprocessor import Postprocessor

EXAMPLE = '<View><Image name="image" value="$image"/><Choices name="choice" toName="image"><Choice value="Dog"/><Choice value="Cat"/></Choices></View>'


@app.command()
def bootstrap(  # noqa: PLR0913 - an option is an argument
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[SOURCE]",
            help="A folder, a pattern in quotes, s3://… or gs://…, a .txt file of addresses, a .csv table, or a .json export of Label Studio.",
        ),
    ] = None,
    project: Annotated[
        int | None, typer.Option(metavar="ID", help="Take the tasks of this Label Studio project as the source.")
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DESTINATION",
            help="Where predictions go; can be repeated: FILE.json (tasks to import), coco:FILE, yolo:DIR, csv:FILE, preview:DIR, "
            "project:ID or project:new. COCO and YOLO have no place for choices. [default: back to the --project]",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="Label config (XML). A classifier needs one with choices. [default: that of the project, else boxes of all Open Images classes]"
        ),
    ] = None,
    model: Model = None,
    classifier: Classifier = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Lowest score that is shown, 0 to 1. [default: MODEL_SCORE_THRESHOLD, else 0.3]"),
    ] = None,
    tiles: Tiles = None,
    image_prefix: Annotated[
        str,
        typer.Option(
            help="Text in front of a file's path in its folder, in the tasks: where Label Studio finds the folder."
        ),
    ] = "/data/local-files/?d=",
    tasks_per_file: Annotated[
        int, typer.Option(min=0, help="Maximum number of tasks in a file; 0 writes one file.")
    ] = 0,
    chunk: Annotated[int | None, typer.Option(min=0, hidden=True)] = None,
    dry_run: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Predict N images spread over the source, draw them, and estimate the time for all.",
        ),
    ] = 0,
    retry_failures: Annotated[
        bool, typer.Option("--retry-failures", help="Try items again that failed in an earlier run.")
    ] = False,
    leave_out_missing: Annotated[
        bool,
        typer.Option(
            "--leave-out-missing",
            help="Remove items from the outputs that the source does not have any more. A project keeps its tasks.",
        ),
    ] = False,
    include_annotated: Annotated[
        bool,
        typer.Option("--include-annotated", help="Predict annotated tasks too; their annotations do not change."),
    ] = False,
    refresh_stale: Annotated[
        bool,
        typer.Option("--refresh-stale", help="In a project, replace predictions of other versions of Prelabel."),
    ] = False,
    title: Annotated[str, typer.Option(help="Title of the project for project:new.")] = "Prelabel",
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="local: this machine. ray: a Ray cluster (extra prelabel[ray]).")
    ] = "local",
    workers: Annotated[
        int,
        typer.Option(
            min=1, help="Number of processes in the cluster, each with the models that are needed (--engine ray)."
        ),
    ] = 2,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing files that this job has not written.")
    ] = False,
    checkpoint: Annotated[
        Path | None, typer.Option(help="File that records the progress of the job. [default: beside the first output]")
    ] = None,
    journal: Annotated[Path | None, typer.Option(hidden=True)] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors only.")] = False,
    json_lines: Annotated[
        bool, typer.Option("--json-lines", help="Print JSON objects, one in a line, for scripts.")
    ] = False,
) -> None:
    """Predict all images of a source, without a server.

    If the command is stopped or killed, the same command goes on from there. The exit status is 1 if images failed, 2 if the command could
    not go on, 130 if it was interrupted, and 141 if the reader of its --json-lines has gone.
    """
    from ml_backend.bootstrap.reporters import Lines, OutputClosedError, Quiet, Watched
    from ml_backend.bootstrap.run import INTERRUPTED, OUTPUT_CLOSED, Request, Run
    from ml_backend.bootstrap.tally import Tally

    def reporter(postprocessor: Postprocessor) -> Quiet:
        tally = Tally(postprocessor)
        return Quiet(tally) if quiet else Lines(tally) if json_lines else Watched(tally, err)

    with plain_errors():
        place = project if source is None else source
        if place is None or (source is not None and project is not None):
            raise BootstrapError("name a SOURCE or a --project, one of the two")
        if not to and project is None and not dry_run:
            raise BootstrapError("name a destination for the predictions: --to tasks.json, or another one (--help)")
        settings = load_settings(model=model, classifier=classifier, model_score_threshold=threshold, tiles=tiles)
        configure_logging("error" if quiet or json_lines else "warning")
        request = Request(
            source=place,
            to=to or ([] if project is None else [f"project:{project}"]),
            label_config=_label_config(config, project, to or [], settings),
            image_prefix=image_prefix,
            tasks_per_file=renamed("--chunk", chunk, "--tasks-per-file", tasks_per_file),
            dry_run=dry_run,
            retry_failures=retry_failures,
            leave_out_missing=leave_out_missing,
            include_annotated=include_annotated,
            refresh_stale=refresh_stale,
            title=title,
            engine=engine,
            workers=workers,
            overwrite=overwrite,
            checkpoint=renamed("--journal", journal, "--checkpoint", checkpoint),
        )
        try:
            status = Run(request, settings).do(lambda: load_models(settings), reporter)
        except KeyboardInterrupt:  # before anything was begun
            status = INTERRUPTED
        except OutputClosedError:
            status = OUTPUT_CLOSED
    if status:
        raise typer.Exit(status)


def _label_config(config: Path | None, project: int | None, to: list[str], settings: Settings) -> str:
    if config is None and project is None:
        numbers = [text.removeprefix("project:") for text in to if text.startswith("project:")]
        project = next((int(number) for number in numbers if number.isdecimal()), None)
    if config is None and project is not None:
        from ml_backend.bootstrap.project_client import Studio

        return Studio.of(settings).label_config(project)
    if config is not None:
        return read_label_config(config)
    if settings.classifier is not None:
        advice = (
            "name a label config with the choices of the project (--config FILE), or a project that has one (--project ID), since a classifier "
            f"predicts nothing without choices; FILE can be as short as {EXAMPLE}"
        )
        if settings.detector is None:
            raise BootstrapError(advice)
        complain(f"the classifier is not used: without a label config there are boxes only; {advice}", style="yellow")
    return label_config_for(open_images_classes().names)
