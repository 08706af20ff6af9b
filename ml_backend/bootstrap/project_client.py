"""The requests of bulk jobs to Label Studio."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tenacity import Retrying, retry_if_exception_type

from ml_backend.bootstrap.existing_tasks import ExistingTaskPolicy
from ml_backend.errors import BootstrapError
from ml_backend.http.retries import pauses
from ml_backend.label_studio.client import PAUSES, GoneError, StudioClient, UncertainError
from ml_backend.pipeline.model_version import is_ours

_ONCE = {"max_retries": 0}  # the SDK would repeat requests that may have been carried out


@dataclass(frozen=True, slots=True)
class TaskState:
    """One task of a project.

    Attributes:
        number: its id.
        task: id, data, and annotations where there are any.
        annotations: the number of its annotations, skipped ones and drafts included.
        predictions: the model version of each prediction, by id.
        meta: of its import.
    """

    number: int
    task: dict[str, Any]
    annotations: int
    predictions: dict[int, str]
    meta: dict[str, Any]


class Studio(StudioClient):
    """Label Studio, for bulk jobs."""

    def create_project(self, title: str, label_config: str, marker: str) -> int:
        """Create a project that orders its tasks by uncertainty, or find the one of an earlier run; returns its id.

        Args:
            title: of the project.
            label_config: of the project, XML.
            marker: a text in the description, by which the project is found again.
        """

        def find_or_create() -> int:
            for found in self.ask("the list of projects", lambda: list(self.sdk.projects.list(title=title))):
                if marker in (found.description or ""):
                    return int(found.id)
            created = self.change(
                "creating a project",
                lambda: self.sdk.projects.create(
                    title=title,
                    label_config=label_config,
                    description=f"Pre-annotated by prelabel bootstrap, {marker}",
                    sampling="Uncertainty sampling",
                    request_options=_ONCE,
                ),
            )
            return int(created.id)

        try:
            return Retrying(retry=retry_if_exception_type(UncertainError), **pauses(*PAUSES))(find_or_create)
        except UncertainError as error:
            raise BootstrapError(
                f"Label Studio at {self.url} does not answer a request for a new project: {error}"
            ) from None

    def show_version(self, project: int, policy: ExistingTaskPolicy) -> str:
        """Let a project show the predictions of this job, if it shows none or stale ones; returns the version that it shows."""
        found = self.project(project)
        shown = str(found.model_version or "")
        if shown and not (policy.refresh_stale and is_ours(shown)):
            return shown
        self.ask(f"project {project}", lambda: self.sdk.projects.update(project, model_version=policy.version))
        return policy.version

    def states(self, project: int, *, first: int = 0, last: int | None = None) -> Iterator[TaskState]:
        """Yield the tasks of a project, as :meth:`tasks` does."""
        return map(_state, self.tasks(project, first=first, last=last))

    def import_tasks(self, project: int, tasks: list[dict[str, Any]]) -> list[int]:
        """Import tasks and return their ids.

        Raises:
            UncertainError: no answer came.
        """
        answer = self.change(
            f"the import into project {project}",
            lambda: self.sdk.projects.import_tasks(project, request=tasks, return_task_ids=True, request_options=_ONCE),
        )
        numbers = [int(number) for number in getattr(answer, "task_ids", None) or []]
        if len(numbers) != len(tasks):
            raise BootstrapError(
                f"Label Studio at {self.url} took {len(tasks)} tasks for project {project} and named {len(numbers)} of them; editions that "
                "import in the background are not supported: import tasks.json instead"
            )
        return numbers

    def create_prediction(self, task: int, prediction: dict[str, Any]) -> None:
        """Add a prediction to a task.

        Raises:
            UncertainError: no answer came.
        """
        self.change(
            f"the prediction of task {task}",
            lambda: self.sdk.predictions.create(task=task, **prediction, request_options=_ONCE),
        )

    def create_predictions(self, project: int, rows: list[dict[str, Any]]) -> None:
        """Add predictions, each with the id of its ``task``, in one request.

        Raises:
            UncertainError: no answer came.
            BootstrapError: Label Studio refused some of them.
        """
        if not rows:
            return
        taken = self.add_predictions(project, rows)
        if taken != len(rows):
            raise BootstrapError(
                f"Label Studio at {self.url} took {taken} of {len(rows)} predictions for project {project} and ignored the rest; "
                "does its label config differ from that of this job?"
            )

    def delete_prediction(self, number: int) -> None:
        """Delete a prediction, if it still exists."""
        try:
            self.ask(f"prediction {number}", lambda: self.sdk.predictions.delete(number))
        except GoneError:
            return


def _state(task: dict[str, Any]) -> TaskState:
    kept = {"id": task["id"], "data": task["data"]}
    kept |= {name: task[name] for name in ("meta", "annotations", "predictions") if task.get(name)}
    # Skipped tasks and drafts are work of people too.
    counted = sum(int(task.get(name) or 0) for name in ("total_annotations", "cancelled_annotations"))
    annotations = max(counted, len(task.get("annotations") or [])) + len(task.get("drafts") or [])
    predictions = {int(each["id"]): str(each.get("model_version") or "") for each in task.get("predictions") or []}
    meta = task.get("meta")
    return TaskState(int(task["id"]), kept, annotations, predictions, meta if isinstance(meta, dict) else {})
