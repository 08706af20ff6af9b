"""``tasks.json``: Label Studio's import format, in one file or in several of N tasks each."""

import json
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any, Self

from typing_extensions import override

from ml_backend.bootstrap.items import PredictedItem
from ml_backend.bootstrap.sinks.sink import FileSink, SinkOptions, WriteContext, Writing, replaced
from ml_backend.pipeline.model_version import is_ours


class TasksJson(FileSink):
    """A list of tasks with predictions. Skipped items are in it unchanged.

    With ``tasks_per_file``, ``tasks.json`` becomes ``tasks-00001.json`` and so on.
    """

    form = "FILE.json"
    for_annotators = True

    @override
    @classmethod
    def open(cls, name: str, options: SinkOptions) -> Self | None:
        return super().open(name, options) if name.lower().endswith(".json") else None

    @property
    @override
    def outputs(self) -> list[Path]:
        return (self._numbered_files() or [self._numbered(1)]) if self._options.tasks_per_file else [self.output]

    @property
    @override
    def superseded(self) -> list[Path]:
        if not self._options.tasks_per_file:
            return self._numbered_files()
        return [self.output] if self.output.exists() else []

    @override
    def write(self, context: WriteContext) -> Writing:
        if not self._options.tasks_per_file:
            total = yield from _write_file(self.output, (yield))
            return f"{total} tasks in {self.output}"
        files = total = 0
        while predicted := (yield):
            files += 1
            number = yield from _write_file(self._numbered(files), predicted, self._options.tasks_per_file)
            total += number
            if number < self._options.tasks_per_file:
                break
        for later in self._numbered_files()[files:]:  # of an earlier run with more tasks
            later.unlink()
        return f"{total} tasks in {files} files, {self._numbered(1)} and on"

    def _numbered(self, number: int) -> Path:
        return self.output.with_name(f"{self.output.stem}-{number:05d}{self.output.suffix}")

    def _numbered_files(self) -> list[Path]:
        """Return the numbered files that exist, in order."""
        name = re.compile(rf"{re.escape(self.output.stem)}-(\d{{5,}}){re.escape(self.output.suffix)}")
        folder = self.output.parent
        names = (name.fullmatch(each.name) for each in (folder.iterdir() if folder.is_dir() else ()))
        return [self._numbered(number) for number in sorted(int(found[1]) for found in names if found)]


def _write_file(
    path: Path, predicted: PredictedItem | None, most: int | None = None
) -> Generator[None, PredictedItem | None, int]:
    """Write the given item and those that are sent in, ``most`` at most; returns their number."""
    number = 0
    with replaced(path) as file:
        while predicted:
            file.write(",\n" if number else "[\n")
            file.write(json.dumps(task_of(predicted), separators=(",", ":")))
            number += 1
            if number == most:
                break
            predicted = yield
        file.write("\n]\n" if number else "[]\n")
    return number


def task_of(predicted: PredictedItem) -> dict[str, Any]:
    """Return a task as Label Studio imports it; the new prediction replaces older ones of Prelabel."""
    task = predicted.item.task
    if predicted.prediction is None:
        return task
    before = task.get("predictions")
    others = [
        each
        for each in (before if isinstance(before, list) else [])
        if not (isinstance(each, dict) and is_ours(str(each.get("model_version"))))
    ]
    return task | {"predictions": [*others, {**predicted.prediction, "cluster": predicted.cluster}]}
