"""Renews stored predictions: tasks with predictions of older versions are predicted again, a portion at a time."""

from dataclasses import dataclass
from time import monotonic

from ml_backend.label_studio.client import StudioClient
from ml_backend.pipeline.model_version import is_ours

PORTION = 20  # tasks that Label Studio asks for at once: about a second of its time, which others wait for


@dataclass
class Renewal:
    """The renewal of a project's predictions: first the tasks without annotations, then the others.

    Attributes:
        project: its id.
        version: the model version in force.
        total: tasks to renew when it began.
        asked: tasks that have been asked for.
        annotated: whether those without annotations are done.
        after: id of the last task that was asked for.
        due: when the next portion may be asked for, by the monotonic clock, in seconds.
    """

    project: int
    version: str
    total: int
    asked: int = 0
    annotated: bool = False
    after: int = 0
    due: float = 0

    def step(self, client: StudioClient) -> bool:
        """Let Label Studio ask for the next portion, then pause for as long as that took; returns whether all tasks are done.

        Raises:
            LabelStudioError: Label Studio refuses.
            UncertainError: Label Studio does not answer.
        """
        began = monotonic()
        tasks, _ = client.outdated_tasks(
            self.project, self.version, annotated=self.annotated, after=self.after, count=PORTION
        )
        if ours := [number for number, versions in tasks.items() if any(map(is_ours, versions))]:
            client.retrieve_predictions(self.project, ours)
        self.asked += len(tasks)
        if tasks:
            self.after = max(tasks)
            self.due = 2 * monotonic() - began
            return False
        done, self.annotated, self.after = self.annotated, True, 0
        return done


def count_outdated(client: StudioClient, project: int, version: str) -> int:
    """Return how many tasks of a project have predictions of Prelabel, but none of a version."""
    return sum(
        client.outdated_tasks(project, version, annotated=annotated, after=0, count=1)[1] for annotated in (False, True)
    )
