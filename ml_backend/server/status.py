"""What happened lately, by project, for the diagnosis page. Bounded, in memory, gone with a restart."""

from collections import Counter, OrderedDict, deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from ml_backend.errors import PrelabelError
from ml_backend.redaction import printable

PROJECTS = 100
FAILURES = 20
MAX_ID_LENGTH, MAX_CAUSE_LENGTH = 60, 600  # characters; both can come from anybody


@dataclass(frozen=True, slots=True)
class TaskFailure:
    """One task that could not be predicted."""

    time: str
    task: str
    code: str
    cause: str


@dataclass(slots=True)
class ProjectStatus:
    """What happened to one project since the start.

    Attributes:
        config_problem: why the project's label config cannot be served, or empty.
        config_warnings: what a person should know about the config.
        model_version: as last told to Label Studio.
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
        """Count tasks that were predicted, and those among them without a region."""
        self.predicted += count
        self.empty += empty

    def record_failures(self, tasks: Sequence[object], count: int, error: PrelabelError) -> TaskFailure:
        """Remember why tasks failed, in words that strangers may read; gives the record of the first.

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


def project_id(project: str | int | None) -> str:
    """Return the id in what Label Studio calls a project in its requests: ``<id>.<time of creation>``."""
    return printable(str(project).partition(".")[0], MAX_ID_LENGTH) if project is not None else "unnamed"


class ProjectStatuses:
    """The projects that called lately; the ones longest silent are forgotten first."""

    def __init__(self) -> None:
        self._by_id: OrderedDict[str, ProjectStatus] = OrderedDict()

    def of(self, project: str) -> ProjectStatus:
        """Return the status of a project, by :func:`project_id`."""
        status = self._by_id.setdefault(project, ProjectStatus())
        self._by_id.move_to_end(project)
        if len(self._by_id) > PROJECTS:
            self._by_id.popitem(last=False)
        return status

    def model_versions(self) -> list[str]:
        """Return the versions that projects were last told, each once, the latest first."""
        told = (status.model_version for status in reversed(self._by_id.values()))
        return list(dict.fromkeys(version for version in told if version))

    def to_json(self) -> dict[str, Any]:
        """Return all of them as plain JSON values, the latest first."""
        return {name: status.to_json() for name, status in reversed(self._by_id.items())}


class EventCounts:
    """How many webhook events of each kind came."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def count(self, action: str) -> None:
        """Count an event by what :func:`~ml_backend.label_studio.events.read_event` calls it."""
        self._counts[action] += 1

    def to_json(self) -> dict[str, int]:
        """Return counts by kind."""
        return dict(self._counts)
