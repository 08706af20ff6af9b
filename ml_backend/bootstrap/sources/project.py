"""The tasks of a Label Studio project as a source."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from ml_backend.bootstrap.existing_tasks import ExistingTaskPolicy
from ml_backend.bootstrap.items import Item
from ml_backend.bootstrap.project_client import Studio
from ml_backend.bootstrap.sources.lists import key_of_data
from ml_backend.errors import BootstrapError


@dataclass(frozen=True)
class ProjectTasks:
    """All tasks of a project, read a page at a time; the policy skips some of them.

    Attributes:
        own: whether the predictions go back to the project, so that its present predictions matter.
    """

    studio: Studio
    project: int
    policy: ExistingTaskPolicy
    own: bool
    sort: ClassVar[bool] = False
    path: ClassVar[None] = None

    @property
    def name(self) -> str:
        """The project and the address of Label Studio."""
        return f"project {self.project} of {self.studio.url}"

    def items(self) -> Iterator[Item]:
        """Yield an item for each task."""
        any_found = False
        for state in self.studio.states(self.project):
            any_found = True
            decision = self.policy.decide(state.annotations, state.predictions if self.own else {})
            skip_reason = "" if decision.stale else decision.skip_reason
            yield Item(
                f"{state.number:020d}".encode(),
                state.task,
                skip_reason=skip_reason,
                stamp=key_of_data(state.task["data"]).hex(),
            )
        if not any_found:
            raise BootstrapError(f"{self.name} has no tasks")
