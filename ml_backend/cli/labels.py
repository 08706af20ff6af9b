"""``prelabel labels``: the classes of each label and choice of a project, and classes without one."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple
from xml.sax.saxutils import quoteattr

import typer
from rich.markup import escape
from rich.table import Table

from ml_backend.cli.common import (
    Classifier,
    Model,
    app,
    complain,
    err,
    load_models,
    out,
    plain_errors,
    read_label_config,
)
from ml_backend.errors import PrelabelError
from ml_backend.images.references import IMAGE_SUFFIXES
from ml_backend.label_studio.label_config import parse_label_config
from ml_backend.label_studio.tasks import task_of_file
from ml_backend.logs import configure_logging
from ml_backend.model_results import ModelKind
from ml_backend.postprocessing.label_coverage import label_coverage
from ml_backend.postprocessing.served_controls import served_controls
from ml_backend.settings import Settings, load_settings
from ml_backend.vocabularies.imagenet import BACKGROUND

if TYPE_CHECKING:
    from ml_backend.inference.models import Models
    from ml_backend.postprocessing.explanation import Explanation

SHOWN_CLASSES = 8


@dataclass(frozen=True)
class Missed:
    """A class that a model finds in images and that has no label or choice.

    Attributes:
        model: detector or classifier.
        class_name: readable name.
        mid: id of the class; empty where it has none.
        boxes: number of detections; 0 for a class of the classifier.
        pictures: number of images with the class.
    """

    model: ModelKind
    class_name: str
    mid: str
    boxes: int
    pictures: int


class SeenClass(NamedTuple):
    """A class that a model finds in an image."""

    model: ModelKind
    class_name: str
    mid: str


@app.command()
def labels(
    config: Annotated[Path, typer.Argument(help="Label config (XML) of the project.")],
    images: Annotated[
        Path | None,
        typer.Option(
            "--from-images",
            metavar="DIR",
            help="Also count the classes in the images of this folder that have no label or choice.",
        ),
    ] = None,
    model: Model = None,
    classifier: Classifier = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Show the classes of each label and choice with the rule, those without a class, and the number of classes without a label."""
    with plain_errors():
        settings = load_settings(model=model, classifier=classifier)
        configure_logging("warning")
        label_config = read_label_config(config)
        parsed, problems = parse_label_config(label_config)
        handles: dict[ModelKind, str | None] = {"detector": settings.detector, "classifier": settings.classifier}
        kinds = [kind for kind, handle in handles.items() if handle is not None]
        controls, unserved = served_controls(parsed, kinds, settings.tiles)
        problems = (*problems, *unserved)
        reports = [label_coverage(control) for control in controls]
        missed = None
        if images is not None:
            models = load_models(settings)
            files = sorted(path for path in images.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
            if not files:
                raise PrelabelError(f"there are no images in {images}")
            missed = asyncio.run(_census(settings, models, files, label_config))
    if as_json:
        census = None if missed is None else [vars(each) for each in missed]
        out.out(json.dumps({"problems": problems, "controls": reports, "missed": census}, indent=2), highlight=False)
        return
    for problem in problems:
        complain(problem, style="yellow")
    for report in reports:
        _print_report(report)
    if missed is not None:
        _print_census(missed, settings.model_score_threshold)


def _print_report(report: dict[str, Any]) -> None:
    kind = report["kind"]
    title = f"{report['control']} on {report['image']}, by the {report['model']}"
    table = Table(kind.capitalize(), "Classes", "Rule", title=escape(title))
    for label in report["labels"]:
        by_rule: dict[str, list[str]] = {}
        for each in label["classes"]:
            rule = f"hierarchy, {each['ancestor']}" if each["rule"] == "hierarchy" else each["rule"]
            by_rule.setdefault(rule, []).append(each["name"])
        name = escape(label["label"])
        for rule, names in by_rule.items():
            more = f" and {len(names) - SHOWN_CLASSES} more" if len(names) > SHOWN_CLASSES else ""
            table.add_row(name, ", ".join(names[:SHOWN_CLASSES]) + more, rule)
            name = ""
        if label["below"]:
            table.add_row(name, "those of the choices below", "")
        elif not by_rule:
            near = f"; near names: {', '.join(label['near'])}" if label["near"] else ""
            table.add_row(name, f"[red]nothing[/red]{near}", "")
        table.add_section()
    out.print(table)
    left_out = report["left_out"]
    out.print(f"{len(left_out)} of {report['classes']} classes have no {kind}", highlight=False)
    if kind == "choice" and len(left_out) == report["classes"]:
        complain(f"the control {report['control']!r} is not served: no class has a choice of it", style="yellow")
    for note in report["notes"]:
        complain(note, style="yellow")


async def _census(settings: Settings, models: Models, files: list[Path], label_config: str) -> list[Missed]:
    from ml_backend.pipeline.prediction import Pipeline

    boxes: Counter[SeenClass] = Counter()
    pictures: Counter[SeenClass] = Counter()
    async with Pipeline(settings, models) as pipeline:
        image_fields = list(pipeline.postprocessors.of(label_config).needs)
        with err.status("predicting images") as status:
            for number, path in enumerate(files, 1):
                status.update(f"predicting images ({number} of {len(files)})")
                try:
                    explained = await pipeline.explain(task_of_file(number, path, image_fields), label_config)
                except PrelabelError as error:
                    complain(error)
                    continue
                # A class with a label under one control is not missed, even if others have none for it.
                seen = list(_seen(explained, settings.model_score_threshold))
                captured = {each for each, has_label in seen if has_label}
                missing = [each for each, _ in seen if each not in captured]
                boxes.update(each for each in missing if each.model == "detector")
                pictures.update(set(missing))
    by_count = sorted(pictures, key=lambda each: (each.model == "classifier", -boxes[each], -pictures[each]))
    return [Missed(*each, boxes[each], pictures[each]) for each in by_count]


def _seen(explained: Explanation, threshold: float) -> Iterator[tuple[SeenClass, bool]]:
    """Yield the classes that an image shows, and whether each has a label or choice; the boxes of one control only."""
    for number, boxes in enumerate(explained.boxes):
        detections = boxes.detections
        for decision in boxes.decisions:
            known = SeenClass("detector", detections.class_names[decision.row], detections.class_mids[decision.row])
            if decision.assignment or (number == 0 and detections.scores[decision.row] >= threshold):
                yield known, decision.assignment is not None
    for choices in explained.choices:
        for each, probability, assignment in choices.classes:
            if probability >= threshold and each != BACKGROUND:
                yield SeenClass("classifier", each.name, each.id), assignment is not None


def _print_census(missed: list[Missed], threshold: float) -> None:
    if not missed:
        out.print(f"All classes with a score of at least {threshold:g} in these images have a label.", highlight=False)
        return
    detected = [each for each in missed if each.model == "detector"]
    classified = [each for each in missed if each.model == "classifier"]
    if detected:
        table = Table("Class", "Boxes", "Images", title=f"detected with a score of at least {threshold:g}, no label")
        for each in detected:
            table.add_row(escape(each.class_name), str(each.boxes), str(each.pictures))
        out.print(table)
    if classified:
        table = Table("Class", "Images", title=f"a probability of at least {threshold:g}, no choice")
        for each in classified:
            table.add_row(escape(each.class_name), str(each.pictures))
        out.print(table)
    out.print("For the label config:\n", highlight=False)
    for each in detected:
        out.out(f"    <Label value={quoteattr(each.class_name)}/>", highlight=False)
    for each in classified:
        given = f"predicted_values={quoteattr(each.mid)}" if each.mid else ""
        out.out(f"    <Choice value={quoteattr(each.class_name)} {given}/>", highlight=False)
