"""The sinks by the prefix of their text. A new sink is a module in this folder and a line here."""

from ml_backend.bootstrap.sinks.coco import Coco
from ml_backend.bootstrap.sinks.csv_table import CsvTable
from ml_backend.bootstrap.sinks.pixel_boxes import label_names
from ml_backend.bootstrap.sinks.preview import Preview
from ml_backend.bootstrap.sinks.project import Project
from ml_backend.bootstrap.sinks.sink import Sink, SinkOptions
from ml_backend.bootstrap.sinks.tasks_json import TasksJson
from ml_backend.bootstrap.sinks.yolo import Yolo
from ml_backend.errors import BootstrapError
from ml_backend.redaction import printable

SINKS: dict[str, type[Sink]] = {
    "": TasksJson,
    "coco:": Coco,
    "yolo:": Yolo,
    "csv:": CsvTable,
    "preview:": Preview,
    "project:": Project,
}


def open_sink(text: str, options: SinkOptions) -> Sink:
    """Return the sink that a user names.

    Args:
        text: a prefix of :data:`SINKS` and a name.
        options: of the command.

    Raises:
        PrelabelError: there is no such sink, or it cannot be opened.
    """
    head, colon, tail = text.partition(":")
    kind = SINKS.get(head + colon if colon else "")
    name = tail if colon else text
    sink = kind.open(name, options) if kind and name else None
    if sink is None:
        forms = ", ".join(each.form for each in SINKS.values())
        raise BootstrapError(f"{printable(text, 200)!r} is not a destination: expected {forms}")
    if not sink.holds_choices and options.controls and not label_names(options.controls):
        others = ", ".join(each.form for each in SINKS.values() if each.holds_choices)
        raise BootstrapError(
            f"{printable(text, 200)} would be empty: {sink.form} has no place for choices, and there is nothing else in the label config; "
            f"name another destination ({others})"
        )
    return sink
