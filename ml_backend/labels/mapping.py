"""From a detector's class to the project's label. Pure: decided by the label config alone."""

from collections.abc import Iterable

from ml_backend.labels.config import Label
from ml_backend.open_images import ClassList


def fold(name: str) -> str:
    """Return the form in which names are compared: without regard to case, spaces and underscores."""
    return "".join(name.casefold().replace("_", " ").split())


class LabelMap:
    """Which label of one control a class goes to, by the first rule that fits.

    1. the label's ``predicted_values`` list the class's name or MID;
    2. the label is called exactly like the class;
    3. the label is called like the class, or like its MID, as :func:`fold` compares.

    Where two labels claim one class by the same rule, the first in the config has it.
    """

    def __init__(self, labels: Iterable[Label]) -> None:
        self._predicted: dict[str, str] = {}
        self._exact: dict[str, str] = {}
        self._folded: dict[str, str] = {}
        for label in labels:
            for text in label.predicted_values:
                self._predicted.setdefault(fold(text), label.value)
            for name in label.names:
                self._exact.setdefault(name, label.value)
                self._folded.setdefault(fold(name), label.value)

    def label_for(self, class_name: str, class_mid: str) -> str | None:
        """Return the label's value for a class (its readable name and its MID, either may be empty), or None."""
        by_rule = (
            (self._predicted, (fold(class_name), fold(class_mid))),
            (self._exact, (class_name,)),
            (self._folded, (fold(class_name), fold(class_mid))),
        )
        for labels, names in by_rule:
            for name in names:
                if name and name in labels:
                    return labels[name]
        return None

    def labels_reached(self, classes: ClassList) -> set[str]:
        """Return the labels that at least one class of ``classes`` goes to."""
        found = (self.label_for(name, mid) for name, mid in zip(classes.names, classes.mids, strict=True))
        return {label for label in found if label is not None}
