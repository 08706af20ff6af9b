"""The ``prelabel`` command. Thin: each command reads settings, calls the package, and prints.

Imports that pull in TensorFlow stand inside the commands, so that ``--help`` and ``--version`` answer at once.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import structlog
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ml_backend import __version__
from ml_backend.errors import DetectorLoadError, LabelConfigError, PrelabelError
from ml_backend.images import Finding, ImageFetcher, LabelStudios
from ml_backend.logs import configure_logging
from ml_backend.open_images import open_images_classes
from ml_backend.settings import Settings, load_settings

if TYPE_CHECKING:
    from ml_backend.detector.detector import Detector
    from ml_backend.labels import Prediction

app = typer.Typer(
    help="Draws the boxes first: image pre-annotation for Label Studio.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
out = Console()
err = Console(stderr=True)

Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="HANDLE",
        help="Detector: a TensorFlow Hub or Kaggle address, a folder, a .tar.gz, a gs:// path, or demo. "
        "[default: PRELABEL_MODEL, else the published Open Images SSD MobileNetV2]",
    ),
]


@contextmanager
def _plain_errors() -> Iterator[None]:
    """End with the error's own sentence and status 2 where the user can do something about it."""
    try:
        yield
    except PrelabelError as error:
        _complain(error)
        raise typer.Exit(2) from None
    except OSError as error:  # a folder to write into that is a file, a full disk
        _complain(f"{error.filename}: {error.strerror}" if error.filename else error)
        raise typer.Exit(2) from None


def _complain(message: object, style: str = "red") -> None:
    err.print(f"prelabel: {message}", style=style, markup=False, highlight=False, soft_wrap=True)


def _load_detector(settings: Settings) -> Detector:
    with _waiting("starting TensorFlow") as progress:
        from ml_backend.detector.detector import Detector

        return Detector.load(
            settings.model, settings.tfhub_cache_dir, workers=settings.inference_workers, progress=progress
        )


@contextmanager
def _waiting(text: str) -> Iterator[Callable[[str], None]]:
    """Show what is being waited for: in one line that changes, or as log records where nobody watches."""
    if err.is_terminal:
        with err.status(text) as status:
            yield status.update
        return
    log = structlog.get_logger("prelabel")
    last = ""

    def record(text: str) -> None:
        nonlocal last
        stage = text.partition(" (")[0]  # the figure in brackets changes twice a second, too often for a log
        if stage != last:
            log.info(stage)
        last = stage

    record(text)
    yield record


def _print_version(wanted: bool) -> None:
    if wanted:
        out.print(f"prelabel {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Draws the boxes first: image pre-annotation for Label Studio."""


@app.command()
def serve(
    model: Model = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on. [default: PRELABEL_HOST, else 0.0.0.0]")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on. [default: PORT, else 9090]")] = None,
) -> None:
    """Start the service that Label Studio connects to."""
    with _plain_errors():
        settings = load_settings(model=model, host=host, port=port)
        configure_logging(settings.log_level)
        from ml_backend.server.running import reserve
        from ml_backend.server.running import serve as run

        with reserve(settings.host, settings.port) as reserved:
            detector = _load_detector(settings)
            log = structlog.get_logger("prelabel")
            for warning in settings.warnings():
                log.warning(warning)
            log.info(
                "ready",
                model=detector.name,
                fingerprint=detector.fingerprint[:8],
                url=f"http://{settings.host}:{settings.port}",
                inference_workers=settings.inference_workers,
                cache=f"memory, {settings.memory_cache_bytes:,} bytes",
            )
            from ml_backend.server import create_app

            run(create_app(settings, detector), reserved)


@app.command()
def predict(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Picture files.")],
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
        Path | None, typer.Option(metavar="DIR", help="Write the pictures with boxes drawn into DIR.")
    ] = None,
) -> None:
    """Draw boxes on pictures of this machine, without a server.

    Ends with status 1 if a picture failed.
    """
    with _plain_errors():
        settings = load_settings(model=model, model_score_threshold=threshold)
        configure_logging("warning")
        label_config = _label_config(config)
        detector = _load_detector(settings)
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
                _complain(answer)
    if len(predictions) < len(images):
        raise typer.Exit(1)


def _label_config(path: Path | None) -> str:
    from ml_backend.labels.config import label_config_for, parse_label_config

    if path is None:
        return label_config_for(open_images_classes().names)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LabelConfigError(f"the label config {path} cannot be read: {error}") from None
    parse_label_config(text)  # a broken one should not cost the wait for TensorFlow
    return text


async def _predict_files(
    settings: Settings, detector: Detector, paths: list[Path], label_config: str
) -> tuple[list[dict[str, Any]], list[Prediction | PrelabelError]]:
    from ml_backend.pipeline import Pipeline

    async with Pipeline(settings, detector) as pipeline:
        for warning in pipeline.policy(label_config).warnings:
            _complain(warning, style="yellow")
        keys = pipeline.policy(label_config).data_keys
        tasks: list[dict[str, Any]] = [
            {"id": number, "data": dict.fromkeys(keys, path)} for number, path in enumerate(paths, 1)
        ]
        with err.status(f"predicting {len(tasks)} pictures"):
            return tasks, await pipeline.predict(tasks, label_config)


def _print_table(predictions: list[tuple[Path, Prediction]]) -> None:
    table = Table("Picture", "Label", "Score", "Left", "Top", "Width", "Height", caption="boxes in pixels")
    for path, prediction in predictions:
        name = escape(path.name)
        for region in prediction["result"]:
            value = region["value"]
            x, y = region["original_width"] / 100, region["original_height"] / 100
            pixels = (value["x"] * x, value["y"] * y, value["width"] * x, value["height"] * y)
            table.add_row(
                name,
                escape(value["rectanglelabels"][0]),
                f"{region['score']:.2f}",
                *(f"{number:.0f}" for number in pixels),
            )
            name = ""
        if not prediction["result"]:
            table.add_row(name, "(nothing)", "", "", "", "", "")
        table.add_section()
    out.print(table)


def _draw(predictions: list[tuple[Path, Prediction]], folder: Path, settings: Settings) -> None:
    from ml_backend.drawing import draw_regions
    from ml_backend.images import decode

    folder.mkdir(parents=True, exist_ok=True)
    taken = {
        path.resolve() for path, _ in predictions
    }  # neither the pictures themselves nor each other may be overwritten
    for path, prediction in predictions:
        pixels = decode(path.read_bytes(), max_pixels=settings.image_max_pixels)
        names = (f"{path.stem}-boxes{number or ''}.png" for number in itertools.count())
        target = next(target for name in names if (target := (folder / name).resolve()) not in taken)
        taken.add(target)
        draw_regions(pixels, prediction["result"]).save(target)
    err.print(f"{len(predictions)} pictures with boxes are in {folder}", highlight=False)


@app.command()
def doctor(model: Model = None) -> None:
    """Check settings, the connection to Label Studio, and the detector; say what to change.

    Ends with status 1 if something is wrong.
    """
    with _plain_errors():
        settings = load_settings(model=model)
        configure_logging("warning")
        findings = [Finding(ok=False, sentence=warning) for warning in settings.warnings()]
        findings.append(asyncio.run(_check_label_studio(settings)))
        try:
            detector = _load_detector(settings)
            findings.append(Finding(ok=True, sentence=f"The detector {detector.name} is loaded and warm."))
        except DetectorLoadError as error:
            findings.append(Finding(ok=False, sentence=f"{error}"))
    for finding in findings:
        out.print("ok   " if finding.ok else "WRONG", style="green" if finding.ok else "red", end=" ")
        out.print(finding.sentence, markup=False, highlight=False, soft_wrap=True)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


async def _check_label_studio(settings: Settings) -> Finding:
    async with ImageFetcher(settings) as fetcher:
        return await fetcher.check(LabelStudios(settings).configured)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("--out", help="Folder for the scenes and the picture with boxes.")] = Path(
        "prelabel-demo"
    ),
) -> None:
    """Run the whole job offline: drawn scenes, the demo detector, the real server."""
    with _plain_errors():
        settings = load_settings(only={"tfhub_cache_dir"}, model="demo")
        configure_logging("warning")
        detector = _load_detector(settings)

        from ml_backend.demo.run import overlap, run_demo

        with err.status("drawing scenes, starting the server, posting tasks"):
            result = run_demo(settings, detector, folder)
    table = Table("Task", "Picture came by", "Label", "Score", "Overlap with what was drawn")
    for number, task in enumerate(result.tasks, 1):
        head = (str(number), task.how)
        for region in task.regions:
            label = region["value"]["rectanglelabels"][0]
            best, class_name = max((overlap(region, drawn), drawn.class_name) for drawn in task.drawn)
            note = f"{best:.2f}" + ("" if label == class_name else f" (was drawn as {class_name})")
            table.add_row(*head, label, f"{region['score']:.2f}", note)
            head = ("", "")
        table.add_section()
    out.print(table)
    drawn, found = sum(len(task.drawn) for task in result.tasks), sum(len(task.regions) for task in result.tasks)
    out.print(f"{drawn} objects drawn, {found} boxes answered by {result.model_version}, the demo detector.")
    out.print("It knows drawn kites, balloons and boxes only; `prelabel serve` loads the published detector.")
    out.print(f"Look at {result.sheet}", soft_wrap=True)
