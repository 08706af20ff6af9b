"""The policy for tasks that exist already: it never changes annotations, nor predictions of other models."""

from collections.abc import Mapping
from dataclasses import dataclass

from ml_backend.pipeline.model_version import is_ours

ANNOTATED = "it has annotations"
"""The reason to skip an annotated task, even if its images have results."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision about one task.

    Attributes:
        skip_reason: why it gets no prediction; empty if it gets one.
        stale: ids of predictions to delete, once the new one is stored.
    """

    skip_reason: str = ""
    stale: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ExistingTaskPolicy:
    """The options of a user for existing tasks.

    Attributes:
        version: model version of this job's predictions.
        include_annotated: predict annotated tasks too.
        refresh_stale: replace Prelabel's predictions of other versions.
    """

    version: str
    include_annotated: bool = False
    refresh_stale: bool = False

    def decide(self, annotations: int, predictions: Mapping[int, str]) -> Decision:
        """Decide about a task.

        Args:
            annotations: the number of its annotations.
            predictions: the model version of each of its predictions, by id.
        """
        if annotations and not self.include_annotated:
            return Decision(ANNOTATED)
        stale = tuple(number for number, version in predictions.items() if version != self.version and is_ours(version))
        if annotations:
            return Decision("it has this prediction already" if self.version in predictions.values() else "")
        if self.version in predictions.values():
            return Decision("it has this prediction already", stale if self.refresh_stale else ())
        if stale and not self.refresh_stale:
            return Decision("it has a prediction of another version of Prelabel (--refresh-stale)")
        return Decision(stale=stale)

    def __str__(self) -> str:
        annotated = "get a prediction too" if self.include_annotated else "are skipped"
        stale = "are replaced" if self.refresh_stale else "stay, and their tasks are skipped"
        return (
            f"annotations never change; annotated tasks {annotated}; predictions of other versions of Prelabel {stale}, if there are no annotations; "
            f"predictions of other models stay; the new ones are {self.version}"
        )
