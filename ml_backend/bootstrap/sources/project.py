"""The tasks of a Label Studio project as a source."""

from collections.abc import Iterator
from dataclasses import dataclass

from ml_backend.bootstrap.existing_tasks import ExistingTaskPolicy
from ml_backend.bootstrap.items import Item
from ml_backend.bootstrap.project_client import Studio
from ml_backend.bootstrap.sources.lists import key_of_data
from ml_backend.errors import BootstrapError


@dataclass(frozen=True)
class ProjectTasks:
    """All tasks of a project, a page at a time; those that are to get no prediction are left alone.

    Attributes:
        own: whether the predictions go back to the project, so that those that it has matter.
    """

    studio: Studio
    number: int
    rule: ExistingTaskPolicy
    own: bool
    sort: bool = False

    @property
    def name(self) -> str:
        """The project and where it is."""
        return f"project {self.number} of {self.studio.url}"

    def items(self) -> Iterator[Item]:
        """Yield an item for each task."""
        any_found = False
        for state in self.studio.states(self.number):
            any_found = True
            decision = self.rule.decide(state.annotations, state.predictions if self.own else {})
            left = "" if decision.stale else decision.left
            yield Item(
                f"{state.number:020d}".encode(), state.task, left=left, stamp=key_of_data(state.task["data"]).hex()
            )
        if not any_found:
            raise BootstrapError(f"{self.name} has no tasks")
