"""A Label Studio project: new tasks with predictions, or predictions for its existing tasks.

Nothing is sent twice. An import without an answer is found again by the ``meta`` of each task, a prediction by its version.
"""

import pickle
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import IO, Any, NoReturn, Self

from tenacity import RetryCallState, Retrying, retry_if_exception_type
from typing_extensions import override

from ml_backend.bootstrap.items import PredictedItem
from ml_backend.bootstrap.project_client import Studio
from ml_backend.bootstrap.sinks.sink import Sink, SinkOptions, WriteContext, Writing, explained
from ml_backend.bootstrap.survey import blocks
from ml_backend.errors import BootstrapError
from ml_backend.http.retries import pauses
from ml_backend.label_studio.client import PAUSES, UncertainError

TASKS_IN_REQUEST = 100
CONCURRENT_POSTS = 4
"""Predictions that are posted at once: Label Studio 1.23.2 on SQLite takes 16 a second one by one, and 49 with four."""

META = "prelabel"  # the key of a task's ``meta`` that holds the id of the job and the position of the item


class Project(Sink):
    """The tasks of a project.

    Whether any images are near-duplicates decides how predictions are sent, and is known only after the last item. So the items wait
    in a temporary file beside the checkpoint.

    Args:
        number: the project's id; None creates a project.
        options: of the command.
    """

    form = "project:ID or project:new"
    for_annotators = True
    remote = True

    def __init__(self, number: int | None, options: SinkOptions) -> None:
        self.project = number
        self._options = options
        self._studio = Studio.of(options.settings)
        if number is not None:
            self._studio.label_config(number)  # fails now, not after hours, if there is no such project

    @override
    @classmethod
    def open(cls, name: str, options: SinkOptions) -> Self | None:
        if name != "new" and not name.isdecimal():
            return None
        return cls(None if name == "new" else int(name), options)

    @override
    def write(self, context: WriteContext) -> Writing:
        highest = 0
        alike = False
        with tempfile.TemporaryFile(dir=context.checkpoint.path.parent) as waiting:
            with explained(context.checkpoint.path.parent):
                while predicted := (yield):
                    if predicted.prediction is not None:
                        alike = alike or predicted.cluster <= highest  # a new cluster has the next number
                        highest = max(highest, predicted.cluster)
                        pickle.dump(replace(predicted, images=()), waiting)  # images are not sent
                waiting.flush()
            sender = _Sender(self._studio, self._number(context), context, alike=alike)
            return sender.send_all(_read_all(waiting))

    def _number(self, context: WriteContext) -> int:
        if self.project is not None:
            return self.project
        known = context.checkpoint.recall("project")
        title, config = self._options.title, self._options.label_config
        number = int(known) if known else self._studio.create_project(title, config, context.checkpoint.job_id)
        context.checkpoint.remember("project", str(number))
        return number


def _read_all(file: IO[bytes]) -> Iterator[PredictedItem]:
    file.seek(0)
    with suppress(EOFError):
        while True:
            yield pickle.load(file)  # noqa: S301 - written above, into a file without a name


class _Sender:
    """Sends predictions to a project.

    Label Studio 1.23.2 drops ``cluster`` from imports and keeps it where predictions are posted one by one, which is a hundred times
    slower. So predictions are posted only if some images are near-duplicates, and then all of them: Label Studio treats all tasks
    without a cluster as one.
    """

    def __init__(self, studio: Studio, number: int, context: WriteContext, *, alike: bool) -> None:
        self._studio = studio
        self._number = number
        self._checkpoint = context.checkpoint
        self._policy = context.policy
        self._own = context.source_project == number
        self._alike = alike
        self._sent = self._checkpoint.sent(number)

    def send_all(self, predictions: Iterator[PredictedItem]) -> str:
        """Send the predictions that the project does not have; returns a sentence about them."""
        if not self._own:
            self._find_imported()
        new = 0
        # A task that is annotated elsewhere is not imported: without its annotations it would be done once more.
        wanted = (each for each in predictions if self._own or not each.item.task.get("annotations"))
        for block in blocks(wanted, TASKS_IN_REQUEST):
            if self._own:
                new += self._predict({int(each.item.task["id"]): each for each in block})
                continue
            new += self._import([each for each in block if each.item.position not in self._sent])
            states = ((self._sent[each.item.position], each) for each in block)
            new += self._predict({task: each for (task, version), each in states if version != self._policy.version})
        shown = self._studio.show_version(self._number, self._policy)
        others = (
            "" if shown == self._policy.version else f"; the project shows those of {shown} (Settings, Predictions)"
        )
        return f"{new} new predictions in project {self._number} of {self._studio.url}{others}"

    def _import(self, block: list[PredictedItem]) -> int:
        """Import tasks, with their predictions unless those have to be posted; returns the number of predictions."""
        for attempt in self._attempts():
            with attempt:
                if attempt.retry_state.attempt_number > 1:
                    self._find_imported()
                missing = [each for each in block if each.item.position not in self._sent]
                if missing:
                    numbers = self._studio.import_tasks(self._number, [self._new_task(each) for each in missing])
                    version = None if self._alike else self._policy.version
                    positions = [each.item.position for each in missing]
                    self._record([(*row, version) for row in zip(positions, numbers, strict=True)])
        return 0 if self._alike else len(block)

    def _new_task(self, each: PredictedItem) -> dict[str, Any]:
        before = each.item.task.get("meta")
        meta = (before if isinstance(before, dict) else {}) | {META: f"{self._checkpoint.job_id}/{each.item.position}"}
        task = {"data": each.item.task["data"], "meta": meta}
        return task if self._alike else task | {"predictions": [each.prediction]}

    def _find_imported(self) -> None:
        """Record the tasks of this job that the project has and the checkpoint does not: their import got no answer, or a run was killed."""
        rows = []
        for state in self._studio.states(
            self._number, first=max((task for task, _ in self._sent.values()), default=0) + 1
        ):
            job_id, _, position = str(state.meta.get(META, "")).partition("/")
            if job_id == self._checkpoint.job_id and position.isdecimal():
                version = self._policy.version if self._policy.version in state.predictions.values() else None
                rows.append((int(position), state.number, version))
        self._record(rows)

    def _record(self, rows: list[tuple[int, int, str | None]]) -> None:
        self._checkpoint.record_sent(self._number, rows)
        self._sent.update((position, (number, version)) for position, number, version in rows)

    def _predict(self, wanted: Mapping[int, PredictedItem]) -> int:
        """Give tasks their predictions, if they are to have one; returns the number of predictions.

        The states of the tasks are read now, because people go on annotating after the survey.
        """
        new: set[int] = set()
        if not wanted:
            return 0
        for attempt in self._attempts():
            with attempt:
                states = self._studio.states(self._number, first=min(wanted), last=max(wanted))
                decisions = {
                    state.number: self._policy.decide(state.annotations, state.predictions)
                    for state in states
                    if state.number in wanted
                }
                missing = [number for number, decision in decisions.items() if not decision.skip_reason]
                new.update(missing)
                self._post({number: wanted[number] for number in missing})
        for decision in decisions.values():
            for stale in decision.stale:
                self._studio.delete_prediction(stale)
        if not self._own:
            self._record([(wanted[number].item.position, number, self._policy.version) for number in missing])
        return len(new)

    def _post(self, missing: Mapping[int, PredictedItem]) -> None:
        if not self._alike:
            rows = [{"task": number, **(each.prediction or {})} for number, each in missing.items()]
            self._studio.create_predictions(self._number, rows)
            return

        def post(row: tuple[int, PredictedItem]) -> None:
            number, each = row
            self._studio.create_prediction(number, {**(each.prediction or {}), "cluster": each.cluster})

        with ThreadPoolExecutor(CONCURRENT_POSTS) as threads:
            list(threads.map(post, missing.items()))

    def _attempts(self) -> Retrying:
        """Try again while requests get no answer: Label Studio may still be working on them, or be restarting."""
        uncertain = retry_if_exception_type(UncertainError)
        return Retrying(retry=uncertain, retry_error_callback=self._give_up, **pauses(*PAUSES))

    def _give_up(self, state: RetryCallState) -> NoReturn:
        raise BootstrapError(
            f"Label Studio at {self._studio.url} breaks off requests to project {self._number}, {state.attempt_number} times in a row; "
            "its log says why; what is done is kept: run the same command again"
        )
