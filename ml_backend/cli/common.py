"""Shared parts of the commands: the application, consoles, error messages, and loading the models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import structlog
import typer
from rich.console import Console

from ml_backend import __version__
from ml_backend.errors import LabelConfigError, PrelabelError
from ml_backend.settings import Settings
from ml_backend.vocabularies.open_images import open_images_classes

if TYPE_CHECKING:
    from ml_backend.inference.models import Models

T = TypeVar("T")

MARKDOWN: Literal["markdown"] = (
    "markdown"  # for --help: Rich's own markup treats texts in brackets as styles, and drops them
)

app = typer.Typer(
    help="Predicts bounding boxes and choices before people annotate: image pre-annotation for Label Studio.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=MARKDOWN,
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
        "[default: PRELABEL_MODEL, else the published Open Images SSD MobileNetV2, or none with a classifier]",
    ),
]

Classifier = Annotated[
    str | None,
    typer.Option(
        "--classifier",
        metavar="HANDLE",
        help="Classifier of whole images, for choices: a TensorFlow Hub or Kaggle address, a folder, a .tar.gz or a gs:// path. "
        "[default: PRELABEL_CLASSIFIER]",
    ),
]

Tiles = Annotated[
    int | None,
    typer.Option(
        "--tiles",
        metavar="N",
        help="Look at large images also in tiles, up to N x N of them: 2, 3 or 4; 0 for none. model_tiles in the label config takes "
        "precedence. [default: PRELABEL_TILES, else 0]",
    ),
]


@contextmanager
def plain_errors() -> Iterator[None]:
    """Print errors that the user can act on as one sentence, and exit with status 2."""
    try:
        yield
    except PrelabelError as error:
        complain(error)
        raise typer.Exit(2) from None
    except OSError as error:  # such as a file in place of a folder, or a full disk
        complain(f"{error.filename}: {error.strerror}" if error.filename else error)
        raise typer.Exit(2) from None


def complain(message: object, style: str = "red") -> None:
    """Print a sentence to standard error, unwrapped, so that it can be searched for."""
    err.print(f"prelabel: {message}", style=style, markup=False, highlight=False, soft_wrap=True)


def load_models(settings: Settings) -> Models:
    """Load the models of the settings, and show the progress."""
    with waiting("loading the models") as progress:
        from ml_backend.inference.models import Models

        models = Models.load(settings, progress)
    for note in models.notes:
        complain(note, style="yellow")
    return models


@contextmanager
def waiting(text: str) -> Iterator[Callable[[str], None]]:
    """Show the current step: in one line that changes on a terminal, otherwise as log records.

    Yields:
        A function that takes the text of the next step.
    """
    if err.is_terminal:
        with err.status(text) as status:
            yield status.update
        return
    log = structlog.get_logger("prelabel")
    last = ""

    def record(text: str) -> None:
        nonlocal last
        stage = text.partition(" (")[0]  # the figure in brackets changes twice a second
        if stage != last:
            log.info(stage)
        last = stage

    record(text)
    yield record


def renamed(old: str, old_value: T | None, new: str, new_value: T) -> T:
    """Return the value of an option, with a warning where it was given under its old name.

    Args:
        old: the old name, which is read until the next release.
        old_value: the value under that name; None where it was not given.
        new: the current name.
        new_value: the value under that name.
    """
    if old_value is None:
        return new_value
    complain(f"{old} is now called {new}; the old name will not be read in the next release", style="yellow")
    return old_value


def _print_version(wanted: bool) -> None:
    if wanted:
        out.print(f"prelabel {__version__}", highlight=False)
        raise typer.Exit


def every_class(models: Models) -> str:
    """Return a label config with every class of the models."""
    from ml_backend.label_studio.label_config import label_config_for

    detector, classifier = models.detector, models.classifier
    boxes = () if detector is None else detector.classes or open_images_classes().classes()
    choices = () if classifier is None else classifier.classes or ()
    return label_config_for(tuple(each.name for each in boxes), choices)


def read_label_config(path: Path) -> str:
    """Return the text of a label config file.

    Raises:
        LabelConfigError: the file cannot be read, or the config cannot be served.
    """
    from ml_backend.label_studio.label_config import parse_label_config

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LabelConfigError(f"the label config {path} cannot be read: {error}") from None
    parse_label_config(text)  # report a broken config before loading TensorFlow
    return text


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Predicts bounding boxes and choices before people annotate: image pre-annotation for Label Studio."""
