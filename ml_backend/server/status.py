"""Recent activity by project, for the status page. It is bounded, in memory, and lost with a restart."""

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from ml_backend.errors import PrelabelError
from ml_backend.label_studio.project_id import parse_project_id
from ml_backend.redaction import printable

PROJECTS = 100
FAILURES = 20
MAX_ID_LENGTH, MAX_CAUSE_LENGTH = 60, 600  # characters; both can come from anybody


@dataclass(frozen=True, slots=True)
class TaskFailure:
    """A task that could not be predicted."""

    time: str
    task: str
    code: str
    cause: str


@dataclass(slots=True)
class ProjectStatus:
    """The activity of one project since the start.

    Attributes:
        config_problem: why the project's label config cannot be served, or empty.
        config_warnings: problems of the config that do not prevent predictions.
        model_version: the last one that was answered to /setup or stands in a prediction; empty before.
        predicted, empty, failed: counts of tasks; the empty ones are among the predicted.
        failures: the latest, newest first.
    """

    config_problem: str = ""
    config_warnings: tuple[str, ...] = ()
    model_version: str = ""
    predicted: int = 0
    empty: int = 0
    failed: int = 0
    failures: deque[TaskFailure] = field(default_factory=lambda: deque(maxlen=FAILURES))

    def record_predictions(self, count: int, *, empty: int) -> None:
        """Count predicted tasks, and those among them without a region."""
        self.predicted += count
        self.empty += empty

    def record_failures(self, tasks: Sequence[object], count: int, error: PrelabelError) -> TaskFailure:
        """Record why tasks failed, with the public text of the error; gives the record of the first.

        Args:
            tasks: ids of the first of them.
            count: of all of them.
            error: the reason.
        """
        self.failed += count
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        cause = printable(error.public, MAX_CAUSE_LENGTH)
        failures = [TaskFailure(now, printable(str(task), MAX_ID_LENGTH), error.code, cause) for task in tasks]
        self.failures.extendleft(failures)
        return failures[0]

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        values = asdict(self)
        values["failures"] = [asdict(failure) for failure in self.failures]
        return values


def status_key(project: str | None) -> str:
    """Return the id of a project, or else what a request calls it, as a text that can be shown."""
    number = parse_project_id(project)
    return printable(project or "unnamed", MAX_ID_LENGTH) if number is None else str(number)


class ProjectStatuses:
    """The most recently active projects."""

    def __init__(self) -> None:
        self._by_id: OrderedDict[str, ProjectStatus] = OrderedDict()

    def of(self, project: str) -> ProjectStatus:
        """Return the status of a project, by :func:`status_key`."""
        status = self._by_id.setdefault(project, ProjectStatus())
        self._by_id.move_to_end(project)
        if len(self._by_id) > PROJECTS:
            self._by_id.popitem(last=False)
        return status

    def model_versions(self) -> list[str]:
        """Return the current model version of each project, without repetitions, the latest first."""
        versions = (status.model_version for status in reversed(self._by_id.values()))
        return list(dict.fromkeys(version for version in versions if version))

    def to_json(self) -> dict[str, Any]:
        """Return all of them as plain JSON values, the latest first."""
        return {name: status.to_json() for name, status in reversed(self._by_id.items())}
