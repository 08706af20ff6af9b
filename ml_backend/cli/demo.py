"""``prelabel demo``: the main job, offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ml_backend.cli.common import app, err, load_models, out, plain_errors
from ml_backend.label_studio.regions import label_of
from ml_backend.logs import configure_logging
from ml_backend.settings import load_settings


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("--out", help="Folder for the scenes and the image with boxes.")] = Path(
        "prelabel-demo"
    ),
) -> None:
    """Run the main job offline: predict drawn scenes with the demo detector and the real server."""
    with plain_errors():
        settings = load_settings(only={"home", "tfhub_cache_dir"}, model="demo", cache="memory")
        configure_logging("warning")
        models = load_models(settings)

        from ml_backend.demo.run import overlap, run_demo

        with err.status("drawing scenes, starting the server, posting tasks"):
            result = run_demo(settings, models, folder)
    table = Table("Task", "Image sent as", "Label", "Score", "Overlap (IoU) with the drawn object")
    for number, task in enumerate(result.tasks, 1):
        head = (str(number), task.how)
        for region in task.regions:
            label = label_of(region)
            best, class_name = max((overlap(region, drawn), drawn.class_name) for drawn in task.drawn)
            note = f"{best:.2f}" + ("" if label == class_name else f" (was drawn as {class_name})")
            table.add_row(*head, label, f"{region['score']:.2f}", note)
            head = ("", "")
        table.add_section()
    out.print(table)
    drawn, found = sum(len(task.drawn) for task in result.tasks), sum(len(task.regions) for task in result.tasks)
    out.print(f"{drawn} objects drawn, {found} boxes predicted by {result.model_version}, the demo detector.")
    out.print("It recognises drawn kites, balloons and boxes only; `prelabel serve` loads the published detector.")
    out.print(f"The image with the boxes is {result.sheet}", soft_wrap=True)
