"""What happened lately, by project, for the diagnosis page. Bounded, in memory, gone with a restart."""

from collections import OrderedDict, deque
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from ml_backend.errors import PrelabelError

PROJECTS = 100
FAILURES = 20


@dataclass(frozen=True, slots=True)
class Failure:
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
    failures: deque[Failure] = field(default_factory=lambda: deque(maxlen=FAILURES))

    def record_prediction(self, *, empty: bool) -> None:
        """Count a task that was predicted."""
        self.predicted += 1
        self.empty += empty

    def record_failure(self, task: object, error: PrelabelError) -> None:
        """Remember why a task failed."""
        self.failed += 1
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        self.failures.appendleft(Failure(time=now, task=str(task), code=error.code, cause=str(error)))

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        values = asdict(self)
        values["failures"] = [asdict(failure) for failure in self.failures]
        return values


class ProjectStatuses:
    """The projects that called lately; the ones longest silent are forgotten first."""

    def __init__(self) -> None:
        self._by_id: OrderedDict[str, ProjectStatus] = OrderedDict()

    def of(self, project: object) -> ProjectStatus:
        """Return the status of a project, named as Label Studio does: ``<id>.<time of creation>``."""
        name = str(project).partition(".")[0] if project is not None else "unnamed"
        status = self._by_id.setdefault(name, ProjectStatus())
        self._by_id.move_to_end(name)
        if len(self._by_id) > PROJECTS:
            self._by_id.popitem(last=False)
        return status

    def to_json(self) -> dict[str, Any]:
        """Return all of them as plain JSON values, the latest first."""
        return {name: status.to_json() for name, status in reversed(self._by_id.items())}
