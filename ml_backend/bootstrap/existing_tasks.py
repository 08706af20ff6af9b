"""Decides what happens to a task that exists already. People's work is never touched, and nothing that is not Prelabel's own."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

ANNOTATED = "it has annotations"
"""Why a task is left alone whose work is done by people, also where it has been looked at before."""

_OURS = re.compile(r".+@[0-9a-f]{8}\.[0-9a-f]{6}")  # as ml_backend.pipeline.prediction.model_version writes it


def is_ours(version: str) -> bool:
    """Tell whether a model version is one of Prelabel's."""
    return _OURS.fullmatch(version) is not None


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done with a task.

    Attributes:
        skip_reason: why it gets no prediction; empty if it gets one.
        stale: ids of predictions that go, once the new one is there.
    """

    skip_reason: str = ""
    stale: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ExistingTaskPolicy:
    """The user's choice.

    Attributes:
        version: of the predictions of this job.
        include_annotated: predict annotated tasks as well.
        refresh_stale: replace Prelabel's predictions of other versions.
    """

    version: str
    include_annotated: bool = False
    refresh_stale: bool = False

    def decide(self, annotations: int, predictions: Mapping[int, str]) -> Decision:
        """Decide about a task.

        Args:
            annotations: how many it has.
            predictions: model version of each that it has, by id.
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
        annotated = "get a prediction too" if self.include_annotated else "are left alone"
        stale = "are replaced" if self.refresh_stale else "stay, and their tasks are left alone"
        return (
            f"annotations are never touched; tasks that have some {annotated}; predictions of other versions of Prelabel {stale}, where there are no annotations; "
            f"predictions of others stay; the new ones are {self.version}"
        )
