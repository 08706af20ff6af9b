"""What corrections have taught about a project, as a label config could say it: thresholds, and labels for classes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from ml_backend.label_studio.controls.control import Control

Taught = tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class LabelOverrides:
    """One revision of what was learned. The label config's own attributes win over all of it.

    Attributes:
        thresholds: lowest score that is shown, 0 to 1, by ``from_name`` of the control and label.
        classes: the label that a class goes to, by ``from_name`` of the control and the class's MID (its name where it has none).
        branches: the same of classes that bring along what is below them in the hierarchy.
        revision: number of the revision that it is in force as; 0 for none. It gives each revision a model version of its own, a revert
            too: Label Studio asks for predictions of a version that it does not have yet, and shows the newest prediction of a task.
    """

    thresholds: tuple[tuple[str, str, float], ...] = ()
    classes: Taught = ()
    branches: Taught = ()
    revision: int = 0

    @classmethod
    def of(
        cls,
        thresholds: Mapping[tuple[str, str], float],
        classes: Mapping[tuple[str, str], str] | None = None,
        branches: Mapping[tuple[str, str], str] | None = None,
    ) -> Self:
        """Return the same whatever the order in which it was found out."""
        return cls(
            tuple(sorted((*where, value) for where, value in thresholds.items())),
            tuple(sorted((*which, label) for which, label in (classes or {}).items())),
            tuple(sorted((*which, label) for which, label in (branches or {}).items())),
        )

    def applied_to(self, control: Control, default_threshold: float) -> Control:
        """Return the control with learned thresholds, where neither it nor the label says one itself, and where they differ from the default."""
        thresholds = {
            label: value
            for name, label, value in self.thresholds
            if name == control.from_name and value != default_threshold
        }
        if control.score_threshold is not None or control.skip or not thresholds:
            return control
        labels = tuple(
            label
            if label.skip or label.score_threshold is not None
            else replace(label, score_threshold=thresholds.get(label.value))
            for label in control.labels
        )
        return replace(control, labels=labels)

    def classes_of(self, control: Control) -> dict[str, str]:
        """Return the labels that classes go to under a control, by MID or name."""
        return {known: label for name, known, label in self.classes if name == control.from_name}

    def branches_of(self, control: Control) -> dict[str, str]:
        """Return the labels that classes go to with all below them, under a control, by MID."""
        return {known: label for name, known, label in self.branches if name == control.from_name}

    def with_branch(self, control: str, known: str, label: str) -> Self:
        """Return it with one more branch, in place of what it said of that class."""
        others = tuple(each for each in self.branches if each[:2] != (control, known))
        return replace(self, branches=tuple(sorted((*others, (control, known, label)))))

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values, without the number of its revision."""
        return {"thresholds": self.thresholds, "classes": self.classes, "branches": self.branches}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` gave."""
        return cls(
            tuple((str(control), str(label), float(value)) for control, label, value in values["thresholds"]),
            tuple((str(control), str(known), str(label)) for control, known, label in values["classes"]),
            tuple((str(control), str(known), str(label)) for control, known, label in values["branches"]),
        )


NO_OVERRIDES = LabelOverrides()
