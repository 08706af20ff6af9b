"""Thresholds and labels of classes that were learned from corrections of a project."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from ml_backend.label_studio.controls.control import Control
from ml_backend.postprocessing.label_split import VERSION, LabelSplit

Taught = tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class LabelOverrides:
    """One revision of learned thresholds and labels. Attributes of the label config take precedence.

    Attributes:
        thresholds: lowest score that is shown, 0 to 1, as ``from_name`` of the control, label and score.
        classes: labels of single classes, as ``from_name`` of the control, MID (name where it has none) and label.
        branches: labels of classes and their subclasses in the hierarchy, in the same form. Revisions of older versions hold them.
        class_thresholds: lowest score that is shown of a class in ``classes``, 0 to 1, in the same form. It is above the threshold of the label
            where the label of the class is not certain.
        splits: of classes whose boxes have several labels, as ``from_name`` of the control, MID (name where it has none) and split. ``classes``
            holds the most probable label of each of them, for versions that know no splits.
        revision: number of the revision; 0 for none. Each revision has a model version of its own, also a revert: Label Studio requests
            predictions of a version that it does not have yet, and shows the newest prediction of a task.
    """

    thresholds: tuple[tuple[str, str, float], ...] = ()
    classes: Taught = ()
    branches: Taught = ()
    class_thresholds: tuple[tuple[str, str, float], ...] = ()
    splits: tuple[tuple[str, str, LabelSplit], ...] = ()
    revision: int = 0

    @classmethod
    def of(
        cls,
        thresholds: Mapping[tuple[str, str], float],
        classes: Mapping[tuple[str, str], str] | None = None,
        branches: Mapping[tuple[str, str], str] | None = None,
        class_thresholds: Mapping[tuple[str, str], float] | None = None,
        splits: Mapping[tuple[str, str], LabelSplit] | None = None,
    ) -> Self:
        """Return overrides in a canonical order, without a revision.

        Args:
            thresholds: by ``from_name`` of the control and label.
            classes: labels by ``from_name`` of the control and MID or name of the class.
            branches: the same, for classes with their subclasses.
            class_thresholds: by ``from_name`` of the control and MID or name of the class.
            splits: the same.
        """
        return cls(
            tuple(sorted((*where, value) for where, value in thresholds.items())),
            tuple(sorted((*which, label) for which, label in (classes or {}).items())),
            tuple(sorted((*which, label) for which, label in (branches or {}).items())),
            tuple(sorted((*which, value) for which, value in (class_thresholds or {}).items())),
            tuple((*which, split) for which, split in sorted((splits or {}).items(), key=lambda each: each[0])),
        )

    def applied_to(self, control: Control, default_threshold: float) -> Control:
        """Return the control with learned thresholds that differ from the default, where neither control nor label has its own."""
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
        """Return the labels of single classes under a control, by MID or name."""
        return {known: label for name, known, label in self.classes if name == control.from_name}

    def branches_of(self, control: Control) -> dict[str, str]:
        """Return the labels of classes with their subclasses under a control, by MID."""
        return {known: label for name, known, label in self.branches if name == control.from_name}

    def class_thresholds_of(self, control: Control) -> dict[str, float]:
        """Return the thresholds of single classes under a control, 0 to 1, by MID or name."""
        return {known: value for name, known, value in self.class_thresholds if name == control.from_name}

    def splits_of(self, control: Control) -> dict[str, LabelSplit]:
        """Return the splits of classes under a control, by MID or name."""
        return {known: split for name, known, split in self.splits if name == control.from_name}

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, without the revision."""
        values: dict[str, Any] = {"thresholds": self.thresholds, "classes": self.classes, "branches": self.branches}
        # Older versions can read a revision without them.
        if self.class_thresholds:
            values["class_thresholds"] = self.class_thresholds
        if self.splits:
            values["splits"] = _written(self.splits)
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read the values of :meth:`to_json`; those of older versions have neither ``class_thresholds`` nor ``splits``."""
        return cls(
            tuple((str(control), str(label), float(value)) for control, label, value in values["thresholds"]),
            tuple((str(control), str(known), str(label)) for control, known, label in values["classes"]),
            tuple((str(control), str(known), str(label)) for control, known, label in values["branches"]),
            tuple(
                (str(control), str(known), float(value)) for control, known, value in values.get("class_thresholds", ())
            ),
            _read(values.get("splits", ())),
        )


def _written(splits: Iterable[tuple[str, str, LabelSplit]]) -> list[dict[str, Any]]:
    """Return splits as plain JSON values, those once that many classes share: relatives differ in their probabilities only."""
    found: dict[LabelSplit, list[tuple[str, str, tuple[float, ...]]]] = {}
    for control, known, split in splits:
        found.setdefault(replace(split, probabilities=()), []).append((control, known, split.probabilities))
    return [split.to_json() | {"classes": classes} for split, classes in found.items()]


def _read(written: Iterable[Mapping[str, Any]]) -> tuple[tuple[str, str, LabelSplit], ...]:
    """Return the splits of :func:`_written`, in the order of their classes."""
    found = [
        (str(control), str(known), LabelSplit.from_json({**each, "probabilities": probabilities}))
        for each in written
        if each["version"] == VERSION
        for control, known, probabilities in each["classes"]
    ]
    return tuple(sorted(found, key=lambda each: each[:2]))


NO_OVERRIDES = LabelOverrides()
