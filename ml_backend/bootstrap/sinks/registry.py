"""Tells what a destination is by its text."""

from collections.abc import Sequence
from pathlib import Path

from ml_backend.bootstrap.sinks.coco import Coco
from ml_backend.bootstrap.sinks.csv_table import Table
from ml_backend.bootstrap.sinks.preview import Preview
from ml_backend.bootstrap.sinks.sink import Sink
from ml_backend.bootstrap.sinks.tasks_json import TasksJson
from ml_backend.bootstrap.sinks.yolo import Yolo
from ml_backend.errors import BootstrapError
from ml_backend.label_studio.controls import Control
from ml_backend.redaction import printable
from ml_backend.settings import Settings

FORMS = "FILE.json, coco:FILE, yolo:DIR, csv:FILE or preview:DIR"


def open_sink(text: str, controls: Sequence[Control], settings: Settings, *, tasks_per_file: int = 0) -> Sink:
    """Make a destination of what a user wrote.

    Args:
        text: one of :data:`FORMS`.
        controls: of the label config.
        settings: for the pictures of a preview.
        tasks_per_file: most tasks in a file of tasks, or 0 for one file.

    Raises:
        BootstrapError: it is none of those.
    """
    kind, colon, name = text.partition(":")
    path = Path(name).absolute()
    if colon and name:
        match kind:
            case "coco":
                return Coco(path, controls)
            case "yolo":
                return Yolo(path, controls)
            case "csv":
                return Table(path)
            case "preview":
                return Preview(path, settings)
    if not colon and text.lower().endswith(".json"):
        return TasksJson(Path(text).absolute(), tasks_per_file)
    raise BootstrapError(f"{printable(text, 200)!r} is not a destination: expected {FORMS}")
