"""``prelabel predict``: boxes and choices of image files; and ``prelabel explain``: why a box or a choice is shown or not."""

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
    Classifier,
    Model,
    Tiles,
    app,
    complain,
    err,
    every_class,
    load_models,
    out,
    plain_errors,
    read_label_config,
    renamed,
)
from ml_backend.errors import PrelabelError
from ml_backend.label_studio.regions import ChoiceRegion, choices_in, label_of, rectangles_in, texts_of
from ml_backend.label_studio.tasks import task_of_file
from ml_backend.logs import configure_logging
from ml_backend.settings import Settings, load_settings

if TYPE_CHECKING:
    from ml_backend.inference.models import Models
    from ml_backend.label_studio.regions import Prediction
    from ml_backend.postprocessing.explanation import ExplainedBoxes, ExplainedChoices, Explanation
    from ml_backend.postprocessing.postprocessor import Postprocessor

BEST_CHOICES = 3  # listed whatever their scores
LEAST_EVIDENCE = 0.005  # shown as 0.01


@app.command()
def predict(  # noqa: PLR0913 - an option is an argument
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files.")],
    model: Model = None,
    classifier: Classifier = None,
    tiles: Tiles = None,
    config: Annotated[
        Path | None, typer.Option(help="Label config (XML) of the project. [default: every class of the models]")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Lowest score that is shown, 0 to 1. [default: MODEL_SCORE_THRESHOLD, else 0.3]"),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print Label Studio's import format: tasks with predictions.")
    ] = False,
    draw: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the images into DIR, with their boxes, and their choices below them."),
    ] = None,
) -> None:
    """Predict the boxes and choices of image files, without a server.

    Exits with status 1 if an image failed.
    """
    with plain_errors():
        settings = load_settings(model=model, classifier=classifier, model_score_threshold=threshold, tiles=tiles)
        configure_logging("warning")
        given = None if config is None else read_label_config(config)
        models = load_models(settings)
        label_config = given or every_class(models)
        postprocessor, tasks, answers = asyncio.run(_predict_files(settings, models, images, label_config))
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
            if postprocessor.choices:
                _print_choices(predictions, [each.control.from_name for each in postprocessor.choices])
            if postprocessor.rectangles:
                _print_boxes(predictions)
        if draw is not None:
            labels = [label.value for control, _ in postprocessor.rectangles for label in control.labels]
            _draw(predictions, labels, draw, settings)
        for _, _, answer in done:
            if isinstance(answer, PrelabelError):
                complain(answer)
    if len(predictions) < len(images):
        raise typer.Exit(1)


async def _predict_files(
    settings: Settings, models: Models, paths: list[Path], label_config: str
) -> tuple[Postprocessor, list[dict[str, Any]], list[Prediction | PrelabelError]]:
    from ml_backend.pipeline.prediction import Pipeline

    async with Pipeline(settings, models) as pipeline:
        postprocessor = pipeline.postprocessors.of(label_config)
        for warning in postprocessor.warnings:
            complain(warning, style="yellow")
        tasks = [task_of_file(number, path, list(postprocessor.needs)) for number, path in enumerate(paths, 1)]
        with err.status(f"predicting {len(tasks)} images"):
            return postprocessor, tasks, await pipeline.predict(tasks, label_config)


def _print_choices(predictions: list[tuple[Path, Prediction]], controls: list[str]) -> None:
    table = Table("Image", *map(escape, controls))
    for path, prediction in predictions:
        chosen = {region["from_name"]: _described(region) for region in choices_in(prediction["result"])}
        table.add_row(escape(path.name), *(escape(chosen.get(control, "(nothing)")) for control in controls))
    out.print(table)


def _described(region: ChoiceRegion) -> str:
    return f"{', '.join(texts_of(region))} {region['score']:.2f}"


def _print_boxes(predictions: list[tuple[Path, Prediction]]) -> None:
    table = Table("Image", "Label", "Score", "Left", "Top", "Width", "Height", caption="boxes in pixels")
    for path, prediction in predictions:
        name = escape(path.name)
        for region in rectangles_in(prediction["result"]):
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
        if not rectangles_in(prediction["result"]):
            table.add_row(name, "(nothing)", "", "", "", "", "")
        table.add_section()
    out.print(table)


def _draw(predictions: list[tuple[Path, Prediction]], labels: list[str], folder: Path, settings: Settings) -> None:
    from ml_backend.images.decoding.decode import decode
    from ml_backend.images.drawing import draw_regions, with_lines_below
    from ml_backend.images.label_colours import colours_of

    shown = (label_of(region) for _, prediction in predictions for region in rectangles_in(prediction["result"]))
    colours = colours_of(shown, labels)
    folder.mkdir(parents=True, exist_ok=True)
    # Outputs overwrite neither the images nor each other.
    taken = {path.resolve() for path, _ in predictions}
    for path, prediction in predictions:
        pixels = decode(path.read_bytes(), max_pixels=settings.image_max_pixels).pixels
        names = (f"{path.stem}-boxes{number or ''}.png" for number in itertools.count())
        target = next(target for name in names if (target := (folder / name).resolve()) not in taken)
        taken.add(target)
        lines = [f"{region['from_name']}: {_described(region)}" for region in choices_in(prediction["result"])]
        drawn = draw_regions(pixels, rectangles_in(prediction["result"]), colours)
        with_lines_below(drawn, lines).save(target)
    err.print(f"drawn images in {folder}: {len(predictions)}", highlight=False)


@app.command()
def explain(  # noqa: PLR0913 - an option is an argument
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="Image file.")],
    config: Annotated[Path, typer.Option(help="Label config (XML) of the project.")],
    model: Model = None,
    classifier: Classifier = None,
    tiles: Tiles = None,
    threshold: Annotated[
        float | None, typer.Option(help="Lowest score that is shown where the label config has no threshold, 0 to 1.")
    ] = None,
    min_score: Annotated[float, typer.Option(help="Lowest score that is listed, 0 to 1.")] = 0.05,
    least: Annotated[float | None, typer.Option(hidden=True)] = None,
    draw: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also draw the detections into FILE, coloured by the decision of the first control, with the choices below them.",
        ),
    ] = None,
) -> None:
    """List every detection in an image and every choice, whether a project shows it, and why."""
    min_score = renamed("--least", least, "--min-score", min_score)
    with plain_errors():
        settings = load_settings(model=model, classifier=classifier, model_score_threshold=threshold, tiles=tiles)
        configure_logging("warning")
        label_config = read_label_config(config)
        models = load_models(settings)
        explained = asyncio.run(_explain_file(settings, models, image, label_config))
        for boxes in explained.boxes:
            _print_decisions(boxes, min_score)
        for choices in explained.choices:
            _print_choice_decisions(choices, min_score)
        if draw is not None:
            from ml_backend.cli.drawn_decisions import draw_decisions
            from ml_backend.images.decoding.decode import decode

            pixels = decode(image.read_bytes(), max_pixels=settings.image_max_pixels).pixels
            draw_decisions(pixels, explained, min_score).save(draw)


async def _explain_file(settings: Settings, models: Models, path: Path, label_config: str) -> Explanation:
    from ml_backend.pipeline.prediction import Pipeline

    async with Pipeline(settings, models) as pipeline:
        task = task_of_file(1, path, list(pipeline.postprocessors.of(label_config).needs))
        return await pipeline.explain(task, label_config)


def _print_decisions(explained: ExplainedBoxes, min_score: float) -> None:
    control, detections = explained.control, explained.detections
    decisions = [decision for decision in explained.decisions if detections.scores[decision.row] >= min_score]
    columns = ["#", "Class", "Score", "Decision", *(["View"] if detections.views else [])]
    table = Table(*columns, title=escape(f"{control.shown_name} on {control.to_name}"))
    for decision in decisions:
        style = "green" if decision.kind == "kept" else ""
        reason = decision.reason
        if decision.assignment is not None and decision.kind != "kept":
            reason = f"{decision.label}: {reason}"
        name, score = detections.class_names[decision.row], f"{detections.scores[decision.row]:.2f}"
        view = [detections.view(decision.row) or "whole"] if detections.views else []
        table.add_row(str(decision.row + 1), escape(name), score, escape(reason), *view, style=style)
    out.print(table)
    weak = len(explained.decisions) - len(decisions)
    if weak:
        out.print(f"and {weak} more, with scores below {min_score:g}", highlight=False)


def _print_choice_decisions(explained: ExplainedChoices, min_score: float) -> None:
    control = explained.served.control
    title = f"{control.from_name} on {control.to_name}, by the {control.source}"
    table = Table("Choice", "Score", "Decision", "Best classes", title=escape(title))
    by_score = sorted(explained.decisions, key=lambda each: -each.score)
    listed = [
        each
        for place, each in enumerate(by_score)
        if each.score >= min_score or each.kind == "kept" or place < BEST_CHOICES
    ]
    for decision in listed:
        classes = ", ".join(f"{name} {score:.2f}" for name, score in decision.evidence if score >= LEAST_EVIDENCE)
        style = "green" if decision.kind == "kept" else ""
        kept = "kept" if decision.kind == "kept" else decision.reason
        table.add_row(
            escape(decision.choice.value), f"{decision.score:.2f}", escape(kept), escape(classes), style=style
        )
    out.print(table)
    if len(listed) < len(by_score):
        out.print(f"and {len(by_score) - len(listed)} more, with scores below {min_score:g}", highlight=False)
    outside = [(each.name, score) for each, score, choice in explained.classes if choice is None and score >= min_score]
    if outside:
        shown = ", ".join(f"{name} {score:.2f}" for name, score in outside)
        out.print(f"classes without a choice: {shown}", markup=False, highlight=False)
