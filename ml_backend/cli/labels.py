"""``prelabel labels``: the classes of each label of a project, and classes without a label."""

from __future__ import annotations

import asyncio
import difflib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ml_backend.cli.common import Model, app, complain, err, load_detector, out, plain_errors, read_label_config
from ml_backend.errors import PrelabelError
from ml_backend.images.references import IMAGE_SUFFIXES
from ml_backend.label_studio.controls.control import Control
from ml_backend.label_studio.label_config import parse_label_config
from ml_backend.label_studio.tasks import task_of_file
from ml_backend.logs import configure_logging
from ml_backend.postprocessing.label_map import LabelMap
from ml_backend.settings import Settings, load_settings
from ml_backend.vocabularies.open_images import open_images_classes

if TYPE_CHECKING:
    from ml_backend.inference.detector import Detector

SHOWN_CLASSES = 8


@dataclass(frozen=True)
class Missed:
    """A class that the model detects in images and that has no label.

    Attributes:
        class_name: readable name.
        mid: of the class; empty where it has none.
        boxes: number of detections.
        pictures: number of images with one.
    """

    class_name: str
    mid: str
    boxes: int
    pictures: int


@app.command()
def labels(
    config: Annotated[Path, typer.Argument(help="Label config (XML) of the project.")],
    images: Annotated[
        Path | None,
        typer.Option(
            "--from-images",
            metavar="DIR",
            help="Also count detections in the images of this folder whose classes have no label.",
        ),
    ] = None,
    model: Model = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Show the classes of each label with the rule, labels without a class, and the number of classes without a label."""
    with plain_errors():
        settings = load_settings(model=model)
        configure_logging("warning")
        label_config = read_label_config(config)
        controls, problems = parse_label_config(label_config)
        reports = [_report(control) for control in controls]
        missed = None
        if images is not None:
            detector = load_detector(settings)
            files = sorted(path for path in images.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
            if not files:
                raise PrelabelError(f"there are no images in {images}")
            missed = asyncio.run(_census(settings, detector, files, label_config))
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


def _report(control: Control) -> dict[str, Any]:
    classes = open_images_classes()
    captured = LabelMap(control).captured()
    described: list[dict[str, Any]] = []
    for label in control.labels:
        own = {mid: each for mid, each in captured.items() if each.label == label}
        described.append(
            {
                "label": label.value,
                "classes": [
                    {
                        "name": classes.name_by_mid[mid],
                        "mid": mid,
                        "rule": each.rule,
                        "ancestor": classes.name_by_mid.get(each.ancestor, ""),
                    }
                    for mid, each in own.items()
                ],
                "near": [] if own else difflib.get_close_matches(label.names[0].capitalize(), classes.names, n=3),
            }
        )
    left_out = [name for mid, name in classes.name_by_mid.items() if mid not in captured]
    return {"control": control.from_name, "image": control.to_name, "labels": described, "left_out": left_out}


def _print_report(report: dict[str, Any]) -> None:
    table = Table("Label", "Classes", "Rule", title=escape(f"{report['control']} on {report['image']}"))
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
        if not by_rule:
            near = f"; near names: {', '.join(label['near'])}" if label["near"] else ""
            table.add_row(name, f"[red]nothing[/red]{near}", "")
        table.add_section()
    out.print(table)
    left_out = report["left_out"]
    out.print(f"{len(left_out)} of {len(open_images_classes().names)} classes have no label", highlight=False)


async def _census(settings: Settings, detector: Detector, files: list[Path], label_config: str) -> list[Missed]:
    from ml_backend.pipeline.prediction import Pipeline

    boxes: Counter[tuple[str, str]] = Counter()
    pictures: Counter[tuple[str, str]] = Counter()
    async with Pipeline(settings, detector) as pipeline:
        image_fields = pipeline.postprocessors.of(label_config).image_fields
        with err.status("predicting images") as status:
            for number, path in enumerate(files, 1):
                status.update(f"predicting images ({number} of {len(files)})")
                try:
                    explained = await pipeline.explain(task_of_file(number, path, image_fields), label_config)
                except PrelabelError as error:
                    complain(error)
                    continue
                # A class with a label under one control is not missed, even if others have none for it.
                captured = {
                    (detections.class_names[decision.row], detections.class_mids[decision.row])
                    for _, _, detections, decisions in explained
                    for decision in decisions
                    if decision.assignment
                }
                seen = [
                    (detections.class_names[decision.row], detections.class_mids[decision.row])
                    for _, _, detections, decisions in explained[:1]
                    for decision in decisions
                    if detections.scores[decision.row] >= settings.model_score_threshold
                ]
                missing = [each for each in seen if each not in captured]
                boxes.update(missing)
                pictures.update(set(missing))
    return [Missed(name, mid, count, pictures[name, mid]) for (name, mid), count in boxes.most_common()]


def _print_census(missed: list[Missed], threshold: float) -> None:
    if not missed:
        out.print("All detections in these images have a label of the project.", highlight=False)
        return
    table = Table("Class", "Boxes", "Images", title=f"detected with a score of at least {threshold:g}, without a label")
    for each in missed:
        table.add_row(escape(each.class_name), str(each.boxes), str(each.pictures))
    out.print(table)
    out.print("Labels for the label config:\n", highlight=False)
    for each in missed:
        out.out(f'    <Label value="{each.class_name}"/>', highlight=False)
