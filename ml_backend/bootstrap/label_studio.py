"""Label Studio's API for bulk jobs, through its SDK: with patience while it restarts, and errors that say what to do."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import httpx
from label_studio_sdk import LabelStudio
from label_studio_sdk.core.api_error import ApiError

from ml_backend.bootstrap.rule import Rule, is_ours
from ml_backend.errors import BootstrapError
from ml_backend.redaction import printable
from ml_backend.settings import Settings

T = TypeVar("T")

PAUSES = (1, 2, 4, 8, 15, 30, 30, 30)  # seconds between tries: two minutes, in which Label Studio can start again
PAGE = 100  # tasks
_ONCE = {"max_retries": 0}  # the SDK sends again what may have been done already


class UncertainError(Exception):
    """A request that changes something got no answer: it may or may not have been done."""


@dataclass(frozen=True, slots=True)
class TaskState:
    """What a project says of one task.

    Attributes:
        number: the task's id.
        task: id, data, and annotations where there are any.
        annotations: how many, skipped ones too.
        predictions: model version of each, by id.
        meta: whatever came with it at import.
    """

    number: int
    task: dict[str, Any]
    annotations: int
    predictions: dict[int, str]
    meta: dict[str, Any]


class Studio:
    """The Label Studio of the settings.

    Raises:
        BootstrapError: none is set.
    """

    def __init__(self, settings: Settings) -> None:
        if settings.label_studio_url is None or settings.label_studio_api_key is None:
            raise BootstrapError("projects need LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY (a token of Label Studio)")
        self.url = settings.label_studio_url
        self._client = LabelStudio(
            base_url=self.url, api_key=settings.label_studio_api_key.get_secret_value(), timeout=60
        )

    def label_config(self, project: int) -> str:
        """Return the label config of a project."""
        found = self._ask(f"project {project}", lambda: self._client.projects.get(project))
        return str(found.label_config)

    def create_project(self, title: str, label_config: str, marker: str) -> int:
        """Create a project that orders its tasks by uncertainty, or find the one that an earlier run has created; gives its id.

        Args:
            title: what people see.
            label_config: of the project.
            marker: stands in the description, by which the project is known again.
        """
        for pause in PAUSES:
            for found in self._ask("the list of projects", lambda: list(self._client.projects.list(title=title))):
                if marker in (found.description or ""):
                    return int(found.id)
            try:
                created = self._change(
                    "creating a project",
                    lambda: self._client.projects.create(
                        title=title,
                        label_config=label_config,
                        description=f"Pre-annotated by prelabel bootstrap, {marker}",
                        sampling="Uncertainty sampling",
                        request_options=_ONCE,
                    ),
                )
                return int(created.id)
            except UncertainError:
                time.sleep(pause)  # it may still be at it
        raise BootstrapError(f"Label Studio at {self.url} does not answer when it is to create a project")

    def show_version(self, project: int, rule: Rule) -> str:
        """Let a project show the predictions of a version if it shows none, or stale ones that are replaced; gives what it shows."""
        found = self._ask(f"project {project}", lambda: self._client.projects.get(project))
        shown = str(found.model_version or "")
        if shown and not (rule.refresh_stale and is_ours(shown)):
            return shown
        self._ask(f"project {project}", lambda: self._client.projects.update(project, model_version=rule.version))
        return rule.version

    def tasks(self, project: int, *, first: int = 0, last: int | None = None) -> Iterator[TaskState]:
        """Yield the tasks of a project in the order of their ids, a page at a time.

        Args:
            project: its id.
            first: lowest id.
            last: highest id, or None for no end.
        """
        while True:
            page = self._ask(f"the tasks of project {project}", partial(self._page, project, first, last))
            yield from page
            if len(page) < PAGE:
                return
            first = page[-1].number + 1

    def _page(self, project: int, first: int, last: int | None) -> list[TaskState]:
        conditions = [{"filter": "filter:tasks:id", "operator": "greater_or_equal", "value": first, "type": "Number"}]
        if last is not None:
            conditions.append(
                {"filter": "filter:tasks:id", "operator": "less_or_equal", "value": last, "type": "Number"}
            )
        query = {"filters": {"conjunction": "and", "items": conditions}, "ordering": ["tasks:id"]}
        found = self._client.tasks.list(project=project, fields="all", page_size=PAGE, query=json.dumps(query))
        return [_state(json.loads(task.json())) for task in islice(found, PAGE)]

    def import_tasks(self, project: int, tasks: list[dict[str, Any]]) -> list[int]:
        """Import tasks; gives their ids.

        Raises:
            UncertainError: no answer came.
        """
        answer = self._change(
            f"the import into project {project}",
            lambda: self._client.projects.import_tasks(
                project, request=tasks, return_task_ids=True, request_options=_ONCE
            ),
        )
        numbers = [int(number) for number in getattr(answer, "task_ids", None) or []]
        if len(numbers) != len(tasks):
            raise BootstrapError(
                f"Label Studio at {self.url} took {len(tasks)} tasks for project {project} and named {len(numbers)} of them; editions that "
                "import in the background are not supported: import tasks.json instead"
            )
        return numbers

    def predict(self, task: int, prediction: dict[str, Any]) -> None:
        """Add a prediction to a task.

        Raises:
            UncertainError: no answer came.
        """
        self._change(
            f"the prediction of task {task}",
            lambda: self._client.predictions.create(task=task, **prediction, request_options=_ONCE),
        )

    def predict_many(self, project: int, rows: list[dict[str, Any]]) -> None:
        """Add predictions, each with the id of its ``task``, in one request.

        Raises:
            UncertainError: no answer came.
            BootstrapError: Label Studio found some of them wrong.
        """
        if not rows:
            return
        answer = self._change(
            f"predictions for project {project}",
            lambda: self._client.projects.import_predictions(project, request=rows, request_options=_ONCE),
        )
        if answer.created != len(rows):
            raise BootstrapError(
                f"Label Studio at {self.url} took {answer.created} of {len(rows)} predictions for project {project} and passed over the rest; "
                "does its label config differ from that of this job?"
            )

    def forget_prediction(self, number: int) -> None:
        """Delete a prediction; one that is not there any more is forgotten already."""
        try:
            self._ask(f"prediction {number}", lambda: self._client.predictions.delete(number))
        except GoneError:
            return

    def _ask(self, what: str, call: Callable[[], T]) -> T:
        """Call what may be called again, until Label Studio answers or two minutes have passed."""
        for pause in (*PAUSES, None):
            try:
                return self._change(what, call)
            except UncertainError as error:
                if pause is None:
                    raise BootstrapError(
                        f"Label Studio at {self.url} does not answer ({error}); what is done is kept: run the same command again"
                    ) from None
                time.sleep(pause)
        raise AssertionError

    def _change(self, what: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except httpx.TransportError as error:
            raise UncertainError(str(error) or type(error).__name__) from None
        except (httpx.RequestError, ValueError) as error:  # such as redirects in circles, or a page of a proxy
            cause = printable(str(error), 300)
            raise BootstrapError(f"what answers at {self.url} is not Label Studio as it should be: {cause}") from None
        except ApiError as error:
            status = error.status_code or 0
            if status >= 500 or status == 429:
                raise UncertainError(f"{what}: status {status}") from None
            raise self._refusal(what, status, error.body) from None

    def _refusal(self, what: str, status: int, body: object) -> BootstrapError:
        if status == 401:
            return BootstrapError(
                f"Label Studio at {self.url} refuses the token; what is done is kept: set LABEL_STUDIO_API_KEY to one that is good, "
                "and run the same command again"
            )
        if status == 404:
            return GoneError(
                f"Label Studio at {self.url} has no such thing as {what}, or the user of the token may not see it"
            )
        return BootstrapError(
            f"Label Studio at {self.url} refused {what}: status {status}, {printable(str(body), 500)}"
        )


class GoneError(BootstrapError):
    """What was asked for is not there."""


def _state(task: dict[str, Any]) -> TaskState:
    kept = {"id": task["id"], "data": task["data"]}
    kept |= {name: task[name] for name in ("meta", "annotations", "predictions") if task.get(name)}
    # Skipped tasks and drafts are people's work too.
    counted = sum(int(task.get(name) or 0) for name in ("total_annotations", "cancelled_annotations"))
    annotations = max(counted, len(task.get("annotations") or [])) + len(task.get("drafts") or [])
    predictions = {int(each["id"]): str(each.get("model_version") or "") for each in task.get("predictions") or []}
    meta = task.get("meta")
    return TaskState(int(task["id"]), kept, annotations, predictions, meta if isinstance(meta, dict) else {})
