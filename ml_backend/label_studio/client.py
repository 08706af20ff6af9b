"""Label Studio's API through its SDK, with retries while it restarts, and errors that say what to do."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from typing import Any, Self, TypeVar

import httpx
from label_studio_sdk.core.api_error import ApiError
from tenacity import Retrying, retry_if_exception_type

from ml_backend.errors import LabelStudioError
from ml_backend.http.retries import pauses as retry_pauses
from ml_backend.redaction import printable
from ml_backend.settings import Settings

T = TypeVar("T")

PAUSES = (1, 2, 4, 8, 15, 30, 30, 30)  # seconds between tries: two minutes, in which Label Studio can restart
TIMEOUT = 60  # seconds
PAGE = 100  # tasks
RETRIEVE_SECONDS = 120  # Label Studio itself waits 100 for predictions
NO_CLIENT = "projects need LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY (a token of Label Studio)"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the work on a project is, in tasks: all of them, those with annotations, with skipped ones, with predictions."""

    tasks: int
    annotated: int
    skipped: int
    predicted: int


class UncertainError(Exception):
    """A request got no answer: a change may or may not have been made."""


class GoneError(LabelStudioError):
    """The requested object does not exist."""


class StudioClient:
    """A client of Label Studio.

    Args:
        url: address of Label Studio.
        token: of one of its users.
        pauses: seconds between tries of requests that may be repeated.
        timeout: seconds that an answer may take.
    """

    def __init__(self, url: str, token: str, pauses: Sequence[float] = PAUSES, timeout: float = TIMEOUT) -> None:
        self.url = url
        self._timeout = timeout
        self._retrying = Retrying(retry=retry_if_exception_type(UncertainError), **retry_pauses(*pauses))
        self._token = token

    @cached_property
    def sdk(self) -> Any:
        """The client of the SDK, imported when it is first needed: it imports pandas, for most of a second."""
        from label_studio_sdk import LabelStudio

        return LabelStudio(base_url=self.url, api_key=self._token, timeout=self._timeout)

    @classmethod
    def of(cls, settings: Settings, pauses: Sequence[float] = PAUSES) -> Self:
        """Return a client of the Label Studio in the settings.

        Raises:
            LabelStudioError: its address or the token is not set.
        """
        client = cls.if_set(settings, pauses)
        if client is None:
            raise LabelStudioError(NO_CLIENT)
        return client

    @classmethod
    def if_set(cls, settings: Settings, pauses: Sequence[float] = PAUSES, timeout: float = TIMEOUT) -> Self | None:
        """Return a client of the Label Studio in the settings; None where its address or the token is not set."""
        url, token = settings.label_studio_url, settings.label_studio_api_key
        return None if url is None or token is None else cls(url, token.get_secret_value(), pauses, timeout)

    def project(self, number: int) -> Any:
        """Return a project, as the SDK gives it."""
        return self.ask(f"project {number}", lambda: self.sdk.projects.get(number))

    def label_config(self, project: int) -> str:
        """Return the label config of a project."""
        return str(self.project(project).label_config)

    def tasks(
        self, project: int, *, first: int = 0, last: int | None = None, annotated: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Yield tasks of a project by ascending id, with data, annotations and predictions, a page at a time.

        Args:
            project: its id.
            first: lowest id.
            last: highest id; None for no limit.
            annotated: only those with annotations other than skipped ones.
        """
        while True:
            conditions = [_condition("id", "greater_or_equal", first)]
            conditions += [] if last is None else [_condition("id", "less_or_equal", last)]
            conditions += [_condition("total_annotations", "greater", 0)] if annotated else []
            page = self._page(project, "and", conditions)
            yield from page
            if len(page) < PAGE:
                return
            first = page[-1]["id"] + 1

    def newest_projects(self, count: int) -> list[Any]:
        """Return the newest projects that the token may see, at most 100, with ``id``, ``title`` and ``model_version``."""
        listed = partial(self.sdk.projects.list, page_size=count, ordering="-id", include="id,title,model_version")
        return self.ask("the list of projects", lambda: list(islice(listed(), count)))

    def progress(self, project: int) -> Progress:
        """Return how far the work on a project is."""
        more = {"annotated": "total_annotations", "skipped": "cancelled_annotations", "predicted": "total_predictions"}
        conditions = {name: [_condition(column, "greater", 0)] for name, column in more.items()}
        counts = {name: self._count(project, filters) for name, filters in conditions.items()}
        return Progress(self._count(project, []), **counts)

    def _count(self, project: int, conditions: list[dict[str, Any]]) -> int:
        query = json.dumps({"filters": {"conjunction": "and", "items": conditions}})
        listed = partial(self.sdk.tasks.list, project=project, fields="task_only", page_size=1, query=query)
        return self.ask(f"the number of tasks of project {project}", lambda: int(listed().response.total))

    def backends(self, project: int) -> list[Any]:
        """Return the models of a project; Label Studio asks the first one for predictions.

        Label Studio calls ``/health`` and ``/setup`` of each before it answers.
        """
        return self.ask(f"the models of project {project}", lambda: self.sdk.ml.list(project=project))

    def webhooks(self, project: int) -> list[Any]:
        """Return the webhooks of a project and of its organization."""
        every = self.ask("the list of webhooks", self.sdk.webhooks.list)
        return [webhook for webhook in every if webhook.project in (project, None)]

    def user_names(self) -> dict[int, str]:
        """Return the names of the users that the token may see, as Label Studio shows them: first and last name, else the email address."""
        users = self.ask("the list of users", self.sdk.users.list)
        return {int(user.id): f"{user.first_name} {user.last_name}".strip() or str(user.email) for user in users}

    def rename_backend(self, backend: Any, title: str) -> None:
        """Rename a model. Label Studio also changes the project's ``model_version`` if the two were equal."""
        # Label Studio tries the connection with the fields of this request alone; an empty password stands for the stored one.
        secured = backend.auth_method == "BASIC_AUTH"
        login = {"auth_method": "BASIC_AUTH", "basic_auth_user": backend.basic_auth_user, "basic_auth_pass": ""}
        fields = {"title": title, "url": backend.url, "project": backend.project, **(login if secured else {})}
        self.ask(f"the new title of model {backend.id}", lambda: self.sdk.ml.update(backend.id, **fields))

    def set_model_version(self, project: int, version: str) -> None:
        """Set the model version of a project: the title of one of its models, or a version of stored predictions."""
        self.ask(
            f"the model version of project {project}", lambda: self.sdk.projects.update(project, model_version=version)
        )

    def set_label_config(self, project: int, label_config: str) -> None:
        """Set the label config of a project. Label Studio refuses one without a control that annotations have."""
        self.ask(
            f"the label config of project {project}",
            lambda: self.sdk.projects.update(project, label_config=label_config),
        )

    def outdated_tasks(
        self, project: int, version: str, *, annotated: bool, after: int, count: int
    ) -> tuple[dict[int, set[str]], int]:
        """Return tasks with predictions of Prelabel (their versions contain ``@``), but without one of a version.

        Args:
            project: its id.
            version: the missing ``model_version``.
            annotated: tasks with annotations (True) or without (False).
            after: only tasks with higher ids.
            count: most tasks to return.

        Returns:
            The model versions of each task (of many, the first) by ascending id, and the number of all such tasks.
        """
        conditions = [
            _condition("id", "greater", after),
            _condition("predictions_model_versions", "contains", ["@"], kind="List"),
            _condition("total_annotations", "greater" if annotated else "equal", 0),
            _condition("predictions_model_versions", "not_contains", [version], kind="List"),
        ]
        query = json.dumps({"filters": {"conjunction": "and", "items": conditions}, "ordering": ["tasks:id"]})
        list_page = partial(self.sdk.tasks.list, project=project, fields="task_only", page_size=count, query=query)

        def read() -> tuple[dict[int, set[str]], int]:
            page = list_page()
            tasks = {
                int(task.id): {each.strip() for each in str(task.predictions_model_versions).split(",")}
                for task in page.items or []
            }
            return tasks, int(page.response.total)

        return self.ask(f"the tasks of project {project}", read)

    def add_predictions(self, project: int, rows: list[dict[str, Any]]) -> int:
        """Add predictions, each with the id of its ``task``, in one request; returns how many were accepted.

        Raises:
            UncertainError: no answer came.
        """
        answer = self.change(
            f"predictions for project {project}",
            lambda: self.sdk.projects.import_predictions(project, request=rows, request_options={"max_retries": 0}),
        )
        return int(answer.created or 0)

    def retrieve_predictions(self, project: int, tasks: Sequence[int]) -> None:
        """Let Label Studio ask its model for predictions of tasks without one of the version that ``/setup`` tells."""
        self.ask(
            f"predictions for project {project}",
            lambda: self.sdk.actions.create(
                id="retrieve_tasks_predictions",
                project=project,
                selected_items={"all": False, "included": list(tasks)},
                request_options={"timeout_in_seconds": RETRIEVE_SECONDS},
            ),
        )

    def put_tab(self, project: int, title: str, tasks: Sequence[int]) -> int:
        """Write a tab of the data manager that shows some tasks, in place of the one with the same title if there is one; returns its id.

        The columns that somebody chose there stay. Without any tasks, the tab is empty.

        Args:
            project: its id.
            title: of the tab.
            tasks: their ids.
        """
        # An operator for lists exists, but it is not among those that the page of 1.23.2 offers for ids.
        conditions = [_condition("id", "equal", number) for number in tasks or [0]]
        filters = {"conjunction": "or", "items": conditions}

        def write() -> int:
            tabs = self.sdk.views.list(project=project)
            for tab in tabs:
                data = tab.data if isinstance(tab.data, dict) else {}
                if data.get("title") == title:
                    self.sdk.views.update(str(tab.id), project=project, data={**data, "filters": filters})
                    return int(tab.id)
            once = {"max_retries": 0}  # a repetition looks for the tab first
            if not tabs:  # Label Studio makes its own first tab only where there is none
                self.sdk.views.create(project=project, data={"title": "Default"}, request_options=once)
            new = {"title": title, "filters": filters}
            return int(self.sdk.views.create(project=project, data=new, request_options=once).id)

        return self.ask(f"a tab of project {project}", write)

    def tasks_by_id(self, project: int, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """Return tasks by their ids, at most :data:`PAGE`, with data, annotations and predictions; missing ones are left out."""
        return self._page(project, "or", [_condition("id", "equal", number) for number in numbers]) if numbers else []

    def _page(self, project: int, conjunction: str, conditions: list[dict[str, Any]]) -> list[dict[str, Any]]:
        query = {"filters": {"conjunction": conjunction, "items": conditions}, "ordering": ["tasks:id"]}
        # The list of the data manager: for a single task, Label Studio would ask for predictions.
        list_page = partial(self.sdk.tasks.list, project=project, fields="all", page_size=PAGE, query=json.dumps(query))
        return self.ask(
            f"the tasks of project {project}",
            lambda: [json.loads(task.json()) for task in islice(list_page(), PAGE)],
        )

    def ask(self, what: str, call: Callable[[], T]) -> T:
        """Make a request that may be repeated, until Label Studio answers or the pauses are used up.

        Raises:
            LabelStudioError: Label Studio does not answer, or refuses.
        """
        try:
            return self._retrying(lambda: self.change(what, call))
        except UncertainError as error:
            raise LabelStudioError(
                f"Label Studio at {self.url} does not answer ({error}); what is done is kept: run the same command again"
            ) from None

    def change(self, what: str, call: Callable[[], T]) -> T:
        """Make a request once, since it may change something.

        Raises:
            UncertainError: no answer came.
            LabelStudioError: Label Studio refuses.
        """
        try:
            return call()
        except httpx.TransportError as error:
            raise UncertainError(str(error) or type(error).__name__) from None
        except (httpx.RequestError, ValueError) as error:  # such as redirects in circles, or a page of a proxy
            cause = printable(str(error), 300)
            raise LabelStudioError(f"what answers at {self.url} is not Label Studio as it should be: {cause}") from None
        except ApiError as error:
            status = error.status_code or 0
            if status >= 500 or status == 429:
                raise UncertainError(f"{what}: status {status}") from None
            raise self._refusal(what, status, error.body) from None

    def _refusal(self, what: str, status: int, body: object) -> LabelStudioError:
        if status == 401:
            return LabelStudioError(
                f"Label Studio at {self.url} refuses the token; what is done is kept: set LABEL_STUDIO_API_KEY to one that is good, "
                "and run the same command again"
            )
        if status == 404:
            return GoneError(
                f"Label Studio at {self.url} has no such thing as {what}, or the user of the token may not see it"
            )
        return LabelStudioError(
            f"Label Studio at {self.url} refused {what}: status {status}, {printable(str(body), 500)}"
        )


def _condition(name: str, operator: str, value: object, kind: str = "Number") -> dict[str, Any]:
    """Return a filter of Label Studio's data manager."""
    return {"filter": f"filter:tasks:{name}", "operator": operator, "value": value, "type": kind}
