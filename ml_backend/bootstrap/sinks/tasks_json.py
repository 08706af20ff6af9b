"""``tasks.json``: Label Studio's import format, in one file or in several of N tasks each."""

import json
import re
from collections.abc import Iterable
from itertools import chain, islice
from pathlib import Path
from typing import Any, ClassVar

from ml_backend.bootstrap.items import Predicted
from ml_backend.bootstrap.sinks.sink import Predictions, replaced
from ml_backend.pipeline.model_version import is_ours


class TasksJson:
    """A list of tasks with predictions. Items that were left alone stand in it as they came.

    Args:
        path: of the file; in chunks, ``tasks.json`` is ``tasks-00001.json`` and so on.
        tasks_per_file: most tasks in a file, or 0 for one file.
    """

    for_annotators: ClassVar[bool] = True

    def __init__(self, path: Path, tasks_per_file: int = 0) -> None:
        self._path = path
        self._tasks_per_file = tasks_per_file

    @property
    def output(self) -> Path:
        """The file, or what the names of the files are made of."""
        return self._path

    @property
    def outputs(self) -> list[Path]:
        """The file, or those numbered files that there are."""
        return (self._chunks() or [self._numbered(1)]) if self._tasks_per_file else [self._path]

    @property
    def superseded(self) -> list[Path]:
        """The files that there are of another ``--tasks-per-file``: nobody should import both."""
        if not self._tasks_per_file:
            return self._chunks()
        return [self._path] if self._path.exists() else []

    def write(self, predictions: Predictions) -> str:
        """Write all tasks."""
        if not self._tasks_per_file:
            return f"{_write(self._path, predictions)} tasks in {self._path}"
        tasks = iter(predictions)
        number = total = 0
        for first in tasks:
            number += 1
            total += _write(self._numbered(number), chain([first], islice(tasks, self._tasks_per_file - 1)))
        for later in self._chunks()[number:]:  # of an earlier run with more tasks
            later.unlink()
        return f"{total} tasks in {number} files, {self._numbered(1)} and on"

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.stem}-{number:05d}{self._path.suffix}")

    def _chunks(self) -> list[Path]:
        """Return the numbered files that there are, in order."""
        name = re.compile(rf"{re.escape(self._path.stem)}-(\d{{5,}}){re.escape(self._path.suffix)}")
        folder = self._path.parent
        names = (name.fullmatch(each.name) for each in (folder.iterdir() if folder.is_dir() else ()))
        return [self._numbered(number) for number in sorted(int(found[1]) for found in names if found)]


def _write(path: Path, tasks: Iterable[Predicted]) -> int:
    with replaced(path) as file:
        number = 0
        for task in tasks:
            file.write(",\n" if number else "[\n")
            file.write(json.dumps(task_of(task), separators=(",", ":")))
            number += 1
        file.write("\n]\n" if number else "[]\n")
    return number


def task_of(predicted: Predicted) -> dict[str, Any]:
    """Return a task as Label Studio imports it. Of the predictions that it had, those of Prelabel give way to the new one."""
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
