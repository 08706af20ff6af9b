"""A Label Studio project: new tasks with predictions, or predictions for the tasks that it has.

Whatever is done twice is found again: an import that got no answer, by what each task carries in its ``meta``; a prediction, by its version.
"""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

from ml_backend.bootstrap.checkpoint import Checkpoint, blocks
from ml_backend.bootstrap.existing_tasks import ExistingTaskPolicy
from ml_backend.bootstrap.items import Predicted
from ml_backend.bootstrap.project_client import Studio
from ml_backend.bootstrap.sinks.sink import Predictions
from ml_backend.errors import BootstrapError
from ml_backend.label_studio.client import PAUSES, UncertainError

AT_ONCE = 100  # tasks in a request
POSTED_AT_ONCE = 4
"""Predictions that are posted side by side: Label Studio 1.23.2 on SQLite took 16 a second one by one, and 49 so."""

META = "prelabel"  # the key under which a task says in its ``meta`` which job it is of, and its place there


class Project:
    """The tasks of a project.

    Label Studio 1.23.2 drops ``cluster`` from imports and keeps it where predictions are posted one by one, which is a hundred times slower.
    So only a job in which pictures look alike posts them, and then all of them: tasks without a cluster count as alike.

    Args:
        studio: where the project is.
        number: the project's id.
        checkpoint: of the job; knows what the project has got.
        rule: what happens to tasks that exist.
        own: whether the items of the job are the project's own tasks.
    """

    for_annotators: ClassVar[bool] = True
    output = None

    @property
    def outputs(self) -> list[Path]:
        """None: it makes no files."""
        return []

    def __init__(
        self, studio: Studio, number: int, checkpoint: Checkpoint, rule: ExistingTaskPolicy, *, own: bool
    ) -> None:
        self._studio = studio
        self._number = number
        self._checkpoint = checkpoint
        self._rule = rule
        self._own = own
        self._run = checkpoint.run

    def write(self, predictions: Predictions) -> str:
        """Send what the project has not got."""
        alike = _any_alike(predictions)
        sent = self._checkpoint.sent(self._number)
        if not self._own:
            self._find_again(sent)
        new = 0
        # What people have annotated elsewhere is not imported without that, nor is it work to be done once more.
        wanted = (
            each for each in predictions if each.prediction and (self._own or not each.item.task.get("annotations"))
        )
        for block in blocks(wanted, AT_ONCE):
            if self._own:
                new += self._predict({int(each.item.task["id"]): each for each in block}, alike=alike)
                continue
            new += self._import([each for each in block if each.position not in sent], sent, alike=alike)
            unlike = {sent[each.position][0]: each for each in block if sent[each.position][1] != self._rule.version}
            new += self._predict(unlike, alike=alike)
        shown = self._studio.show_version(self._number, self._rule)
        others = "" if shown == self._rule.version else f"; the project shows those of {shown} (Settings, Predictions)"
        return f"{new} new predictions in project {self._number} of {self._studio.url}{others}"

    def _import(self, block: list[Predicted], sent: dict[int, tuple[int, str | None]], *, alike: bool) -> int:
        """Import tasks, with their predictions unless those have to be posted; gives how many predictions."""
        for pause in PAUSES:
            missing = [each for each in block if each.position not in sent]
            if not missing:
                return 0 if alike else len(block)
            try:
                numbers = self._studio.import_tasks(self._number, [self._new_task(each, alike) for each in missing])
            except UncertainError:
                time.sleep(pause)  # it may still be at it
                self._find_again(sent)
                continue
            version = None if alike else self._rule.version
            rows = [(each.position, number, version) for each, number in zip(missing, numbers, strict=True)]
            self._checkpoint.record_sent(self._number, rows)
            sent.update((position, (number, version)) for position, number, version in rows)
        raise self._given_up()

    def _new_task(self, each: Predicted, alike: bool) -> dict[str, Any]:
        before = each.item.task.get("meta")
        meta = (before if isinstance(before, dict) else {}) | {META: f"{self._run}/{each.position}"}
        task = {"data": each.item.task["data"], "meta": meta}
        return task if alike else task | {"predictions": [each.prediction]}

    def _find_again(self, sent: dict[int, tuple[int, str | None]]) -> None:
        """Take in the tasks that were imported without our knowing: the answer got lost, or we did."""
        begin = max((number for number, _ in sent.values()), default=0) + 1
        rows = []
        for state in self._studio.states(self._number, first=begin):
            run, _, position = str(state.meta.get(META, "")).partition("/")
            if run == self._run and position.isdecimal():
                version = self._rule.version if self._rule.version in state.predictions.values() else None
                rows.append((int(position), state.number, version))
        self._checkpoint.record_sent(self._number, rows)
        sent.update((position, (number, version)) for position, number, version in rows)

    def _predict(self, wanted: Mapping[int, Predicted], *, alike: bool) -> int:
        """Give tasks their predictions, those that are to have one; gives how many.

        The project is asked now, since people go on working: what they have annotated since the survey is left alone too.
        """
        new: set[int] = set()
        for pause in PAUSES:
            if not wanted:
                return 0
            states = self._studio.states(self._number, first=min(wanted), last=max(wanted))
            decisions = {
                state.number: self._rule.decide(state.annotations, state.predictions)
                for state in states
                if state.number in wanted
            }
            missing = [number for number, decision in decisions.items() if not decision.left]
            new.update(missing)
            try:
                self._post({number: wanted[number] for number in missing}, alike=alike)
            except UncertainError:
                time.sleep(pause)
                continue
            for decision in decisions.values():
                for stale in decision.stale:
                    self._studio.forget_prediction(stale)
            if not self._own:
                rows = ((wanted[number].position, number, self._rule.version) for number in missing)
                self._checkpoint.record_sent(self._number, rows)
            return len(new)
        raise self._given_up()

    def _post(self, missing: Mapping[int, Predicted], *, alike: bool) -> None:
        rows = [
            (number, {**(each.prediction or {}), **({"cluster": each.cluster} if alike else {})})
            for number, each in missing.items()
        ]
        if not alike:
            self._studio.create_predictions(
                self._number, [{"task": number, **prediction} for number, prediction in rows]
            )
            return
        with ThreadPoolExecutor(POSTED_AT_ONCE) as threads:
            list(threads.map(lambda row: self._studio.create_prediction(*row), rows))

    def _given_up(self) -> BootstrapError:
        return BootstrapError(
            f"Label Studio at {self._studio.url} breaks off what is sent to project {self._number}, {len(PAUSES)} times in a row; "
            "its log says why; what is done is kept: run the same command again"
        )


def _any_alike(predictions: Predictions) -> bool:
    highest = 0
    for each in predictions:
        if each.prediction is not None and each.cluster <= highest:
            return True  # new numbers are always one more
        highest = max(highest, each.cluster)
    return False
