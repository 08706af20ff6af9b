"""``prelabel predict``: boxes of image files; and ``prelabel explain``: why a box is shown or not."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ml_backend.cli.common import (
    Model,
    app,
    complain,
    err,
    load_detector,
    out,
    plain_errors,
    read_label_config,
    renamed,
)
from ml_backend.errors import PrelabelError
from ml_backend.label_studio.regions import label_of
from ml_backend.label_studio.tasks import task_of_file
from ml_backend.logs import configure_logging
from ml_backend.settings import Settings, load_settings

if TYPE_CHECKING:
    from ml_backend.detections import Detections
    from ml_backend.inference.detector import Detector
    from ml_backend.label_studio.controls.control import Control
    from ml_backend.label_studio.regions import Prediction
    from ml_backend.postprocessing.selection import FilterDecision


@app.command()
def predict(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files.")],
    model: Model = None,
    config: Annotated[
        Path | None, typer.Option(help="Label config (XML) of the project. [default: every Open Images class]")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Lowest score that is shown, 0 to 1. [default: MODEL_SCORE_THRESHOLD, else 0.3]"),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print Label Studio's import format: tasks with predictions.")
    ] = False,
    draw: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the images with their boxes into DIR.")
    ] = None,
) -> None:
    """Predict the boxes of image files, without a server.

    Exits with status 1 if an image failed.
    """
    with plain_errors():
        settings = load_settings(model=model, model_score_threshold=threshold)
        configure_logging("warning")
        label_config = read_label_config(config)
        detector = load_detector(settings)
        tasks, answers = asyncio.run(_predict_files(settings, detector, images, label_config))
        done = list(zip(images, tasks, answers, strict=True))
        predictions = [(path, answer) for path, _, answer in done if not isinstance(answer, PrelabelError)]
        if as_json:
            imported = [
                {"data": task["data"], "predictions": [answer]}
                for _, task, answer in done
                if not isinstance(answer, PrelabelError)
            ]
            out.out(json.dumps(imported, indent=2, default=str), highlight=False)
        else:
            _print_table(predictions)
        if draw is not None:
            _draw(predictions, draw, settings)
        for _, _, answer in done:
            if isinstance(answer, PrelabelError):
                complain(answer)
    if len(predictions) < len(images):
        raise typer.Exit(1)


async def _predict_files(
    settings: Settings, detector: Detector, paths: list[Path], label_config: str
) -> tuple[list[dict[str, Any]], list[Prediction | PrelabelError]]:
    from ml_backend.pipeline.prediction import Pipeline

    async with Pipeline(settings, detector) as pipeline:
        for warning in pipeline.postprocessors.of(label_config).warnings:
            complain(warning, style="yellow")
        image_fields = pipeline.postprocessors.of(label_config).image_fields
        tasks = [task_of_file(number, path, image_fields) for number, path in enumerate(paths, 1)]
        with err.status(f"predicting {len(tasks)} images"):
            return tasks, await pipeline.predict(tasks, label_config)


def _print_table(predictions: list[tuple[Path, Prediction]]) -> None:
    table = Table("Image", "Label", "Score", "Left", "Top", "Width", "Height", caption="boxes in pixels")
    for path, prediction in predictions:
        name = escape(path.name)
        for region in prediction["result"]:
            value = region["value"]
            if not label_of(region):
                continue  # the rectangle of a pair; the other region has the label
            x, y = region["original_width"] / 100, region["original_height"] / 100
            pixels = (value["x"] * x, value["y"] * y, value["width"] * x, value["height"] * y)
            table.add_row(
                name,
                escape(label_of(region)),
                f"{region['score']:.2f}",
                *(f"{number:.0f}" for number in pixels),
            )
            name = ""
        if not prediction["result"]:
            table.add_row(name, "(nothing)", "", "", "", "", "")
        table.add_section()
    out.print(table)


def _draw(predictions: list[tuple[Path, Prediction]], folder: Path, settings: Settings) -> None:
    from ml_backend.images.decoding.decode import decode
    from ml_backend.images.drawing import draw_regions

    folder.mkdir(parents=True, exist_ok=True)
    # Outputs overwrite neither the images nor each other.
    taken = {path.resolve() for path, _ in predictions}
    for path, prediction in predictions:
        pixels = decode(path.read_bytes(), max_pixels=settings.image_max_pixels).pixels
        names = (f"{path.stem}-boxes{number or ''}.png" for number in itertools.count())
        target = next(target for name in names if (target := (folder / name).resolve()) not in taken)
        taken.add(target)
        draw_regions(pixels, prediction["result"]).save(target)
    err.print(f"{len(predictions)} images with boxes are in {folder}", highlight=False)


DECISION_COLOURS = {
    "kept": "#1b8a3d",
    "below the threshold": "#d9a400",
    "suppressed": "#1d6fd1",
    "not in this project": "#808080",
}
OTHER_DECISIONS_COLOUR = "#d62839"


@app.command()
def explain(  # noqa: PLR0913 - an option is an argument
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="Image file.")],
    config: Annotated[Path, typer.Option(help="Label config (XML) of the project.")],
    model: Model = None,
    threshold: Annotated[
        float | None, typer.Option(help="Lowest score that is shown where the label config has no threshold, 0 to 1.")
    ] = None,
    min_score: Annotated[float, typer.Option(help="Lowest score that is listed, 0 to 1.")] = 0.05,
    least: Annotated[float | None, typer.Option(hidden=True)] = None,
    draw: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also draw the detections into FILE, coloured by the decision of the first control.",
        ),
    ] = None,
) -> None:
    """List every detection in an image, whether a project shows it, and why."""
    min_score = renamed("--least", least, "--min-score", min_score)
    with plain_errors():
        settings = load_settings(model=model, model_score_threshold=threshold)
        configure_logging("warning")
        label_config = read_label_config(config)
        detector = load_detector(settings)
        explained = asyncio.run(_explain_file(settings, detector, image, label_config))
        for control, _, detections, decisions in explained:
            shown = [decision for decision in decisions if detections.scores[decision.row] >= min_score]
            _print_decisions(control, detections, shown)
            weak = len(decisions) - len(shown)
            if weak:
                out.print(f"and {weak} with scores below {min_score:g}", highlight=False)
        if draw is not None:
            from ml_backend.images.decoding.decode import decode
            from ml_backend.images.drawing import Box, draw_boxes

            pixels = decode(image.read_bytes(), max_pixels=settings.image_max_pixels).pixels
            _, _, detections, decisions = explained[0]
            boxes = [
                Box(
                    detections.boxes[decision.row],
                    f"#{decision.row + 1} {decision.label or detections.class_names[decision.row]} {detections.scores[decision.row]:.2f}",
                    DECISION_COLOURS.get(decision.kind, OTHER_DECISIONS_COLOUR),
                )
                for decision in reversed(decisions)
                if detections.scores[decision.row] >= min_score
            ]
            draw_boxes(pixels, sorted(boxes, key=lambda box: box.colour == DECISION_COLOURS["kept"])).save(draw)


async def _explain_file(
    settings: Settings, detector: Detector, path: Path, label_config: str
) -> list[tuple[Control, int, Detections, list[FilterDecision]]]:
    from ml_backend.pipeline.prediction import Pipeline

    async with Pipeline(settings, detector) as pipeline:
        task = task_of_file(1, path, pipeline.postprocessors.of(label_config).image_fields)
        return await pipeline.explain(task, label_config)


def _print_decisions(control: Control, detections: Detections, decisions: list[FilterDecision]) -> None:
    title = f"{control.labels_name or control.from_name} on {control.to_name}"
    table = Table("#", "Class", "Score", "Decision", title=escape(title))
    for decision in decisions:
        style = "green" if decision.kind == "kept" else ""
        reason = decision.reason
        if decision.assignment is not None and decision.kind != "kept":
            reason = f"{decision.label}: {reason}"
        name, score = detections.class_names[decision.row], f"{detections.scores[decision.row]:.2f}"
        table.add_row(str(decision.row + 1), escape(name), score, escape(reason), style=style)
    out.print(table)
