"""From a detector's class to the project's label, decided once per control. Pure: the label config alone decides."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ml_backend.errors import LabelConfigError
from ml_backend.label_studio.controls.control import Control, Label
from ml_backend.postprocessing.overrides import NO_OVERRIDES, LabelOverrides
from ml_backend.vocabularies.open_images import ClassList, fold, open_images_classes
from ml_backend.vocabularies.synonyms import CLASS_NAME_BY_SYNONYM

Rule = Literal["predicted_values", "corrections", "name", "synonym", "hierarchy"]


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which label a class goes to, and why.

    Attributes:
        label: of the control.
        rule: the rule that decided.
        ancestor: MID of the class above, by which a class came to the label; empty unless the rule is ``hierarchy``.
    """

    label: Label
    rule: Rule
    ancestor: str = ""


class LabelMap:
    """Which label of one control a class goes to, by the first rule that fits.

    1. ``predicted_values`` of a label list the class's name or MID;
    2. people have corrected the class to a label again and again (:class:`~ml_backend.postprocessing.overrides.LabelOverrides`), or several kinds of it
       to the same one: then it counts below as if the label were called like it;
    3. a label is called like the class, or like its MID: exactly, else as :func:`fold` compares, else by a synonym;
    4. a label has a class above it in the Open Images hierarchy: the nearest, among equals the first in the config. Switched off
       by ``model_hierarchy="false"`` on the control, or on a label, which then takes only what is called like it.

    Attributes:
        overrides: as given.

    Raises:
        LabelConfigError: two labels list the same class in ``predicted_values``; labels that share an alias may.
    """

    def __init__(
        self, control: Control, classes: ClassList | None = None, overrides: LabelOverrides = NO_OVERRIDES
    ) -> None:
        self.overrides = overrides
        self._classes = classes or open_images_classes()
        self._by_mid: dict[str, Assignment] = {}
        self._foreign: dict[str, Assignment] = {}  # names of no Open Images class, folded: a detector may have its own
        self._claim_predicted(control)
        by_value = {label.value: label for label in control.labels}
        self._claim_branches(overrides.branches_of(control), by_value)
        self._claim_named(control)
        if control.hierarchy:
            self._inherit(control)
        self._correct(overrides.classes_of(control), by_value)

    def _claim_predicted(self, control: Control) -> None:
        for label in control.labels:
            for text in label.predicted_values:
                taken = self._claim(text, Assignment(label, "predicted_values"))
                if taken.label.value != label.value:  # labels with one alias are one in results
                    raise LabelConfigError(
                        f"the labels {taken.label.value!r} and {label.value!r} both list {text!r} in their predicted_values"
                    )

    def _claim_branches(self, branches: Mapping[str, str], by_value: Mapping[str, Label]) -> None:
        for text, value in branches.items():
            if value in by_value:
                self._claim(text, Assignment(by_value[value], "corrections"))

    def _correct(self, overrides: Mapping[str, str], by_value: Mapping[str, Label]) -> None:
        """Give single classes to the labels that people call them; what is below them stays where it was."""
        for text, value in overrides.items():
            mid = self._classes.find(text)
            place, key = (self._foreign, fold(text)) if mid is None else (self._by_mid, mid)
            now = place.get(key)
            settled = now is not None and (now.rule == "predicted_values" or now.label.value == value)
            if value in by_value and not settled:
                place[key] = Assignment(by_value[value], "corrections")

    def _claim_named(self, control: Control) -> None:
        named = [(label, name) for label in control.labels for name in label.names]
        class_names = set(self._classes.names)
        exact = [(label, name) for label, name in named if name in class_names]
        for label, name in [*exact, *named]:
            self._claim(name, Assignment(label, "name"))
        for label, name in named:
            meant = CLASS_NAME_BY_SYNONYM.get(fold(name))
            if meant is not None and self._classes.find(name) is None:
                self._claim(meant, Assignment(label, "synonym"))

    def _claim(self, text: str, assignment: Assignment) -> Assignment:
        """Give the class called ``text`` to an assignment unless it has one; returns the one that it has."""
        mid = self._classes.find(text)
        if mid is None:
            return self._foreign.setdefault(fold(text), assignment)
        return self._by_mid.setdefault(mid, assignment)

    def _inherit(self, control: Control) -> None:
        order = {label: index for index, label in enumerate(control.labels)}
        explicit = dict(self._by_mid)
        for mid in self._classes.mids:
            if mid in explicit:
                continue
            for level in self._classes.ancestors(mid):
                above = [up for up in level if up in explicit and explicit[up].label.hierarchy]
                if above:
                    ancestor = min(above, key=lambda up: order[explicit[up].label])
                    self._by_mid[mid] = Assignment(explicit[ancestor].label, "hierarchy", ancestor)
                    break

    def assignment(self, class_name: str, class_mid: str) -> Assignment | None:
        """Return what a class goes to, by its MID, else by its name (either may be empty); None where to nothing."""
        if class_mid in self._classes.name_by_mid:
            return self._by_mid.get(class_mid)
        known = self._classes.find(class_name) or ""
        by_mid = self._foreign.get(fold(class_mid)) if class_mid else None
        return by_mid or self._by_mid.get(known) or self._foreign.get(fold(class_name))

    def label_for(self, class_name: str, class_mid: str) -> str | None:
        """Return the value of the label that a class goes to, or None."""
        found = self.assignment(class_name, class_mid)
        return found.label.value if found else None

    def corrected(self) -> dict[str, str]:
        """Return the labels of classes that corrections decide, by MID, or by folded name where they have none."""
        everything = {**self._foreign, **self._by_mid}
        return {known: each.label.value for known, each in sorted(everything.items()) if each.rule == "corrections"}

    def captured(self) -> dict[str, Assignment]:
        """Return the assignments of Open Images classes, by MID."""
        return dict(self._by_mid)
