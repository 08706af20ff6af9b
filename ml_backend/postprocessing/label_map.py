"""The label map: from the classes of a detector to the labels of a control. Computed once for each control."""

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
    """The label of a class, and the rule that assigned it.

    Attributes:
        label: of the control.
        rule: the rule that decided.
        ancestor: MID of the superclass that has the label; empty unless the rule is ``hierarchy``.
    """

    label: Label
    rule: Rule
    ancestor: str = ""


class LabelMap:
    """Assigns classes to the labels of one control, by the first rule that applies.

    1. ``predicted_values`` of a label list the class's name or MID.
    2. Corrections assign the class to a label (:class:`~ml_backend.postprocessing.overrides.LabelOverrides`). A branch, learned from several
       subclasses of a class, also passes its label on to subclasses by rule 4.
    3. The class's name or MID is that of a label: exactly, else compared by :func:`fold`, else as a synonym.
    4. A superclass in the Open Images hierarchy has a label: the nearest, and among equals the first in the config.
       ``model_hierarchy="false"`` on the control or the label switches this rule off.

    Attributes:
        overrides: learned labels, as given.

    Raises:
        LabelConfigError: two labels without a common alias list the same class in ``predicted_values``.
    """

    def __init__(
        self, control: Control, classes: ClassList | None = None, overrides: LabelOverrides = NO_OVERRIDES
    ) -> None:
        self.overrides = overrides
        self._classes = classes or open_images_classes()
        self._by_mid: dict[str, Assignment] = {}
        self._foreign: dict[str, Assignment] = {}  # by folded name: classes of detectors outside Open Images
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
                if taken.label.value != label.value:  # labels with the same alias are one label in results
                    raise LabelConfigError(
                        f"the labels {taken.label.value!r} and {label.value!r} both list {text!r} in their predicted_values"
                    )

    def _claim_branches(self, branches: Mapping[str, str], by_value: Mapping[str, Label]) -> None:
        for text, value in branches.items():
            if value in by_value:
                self._claim(text, Assignment(by_value[value], "corrections"))

    def _correct(self, overrides: Mapping[str, str], by_value: Mapping[str, Label]) -> None:
        """Assign single classes by corrections; their subclasses keep their assignments."""
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
        """Assign the class with this name or MID unless it has an assignment; returns the one in force."""
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
        """Return the assignment of a class by its MID, else by its name (either may be empty); None where it has none."""
        if class_mid in self._classes.name_by_mid:
            return self._by_mid.get(class_mid)
        known = self._classes.find(class_name) or ""
        by_mid = self._foreign.get(fold(class_mid)) if class_mid else None
        return by_mid or self._by_mid.get(known) or self._foreign.get(fold(class_name))

    def label_for(self, class_name: str, class_mid: str) -> str | None:
        """Return the value of the label of a class, or None."""
        found = self.assignment(class_name, class_mid)
        return found.label.value if found else None

    def corrected(self) -> dict[str, str]:
        """Return the labels of classes that corrections have assigned, by MID, or by folded name where they have none."""
        everything = {**self._foreign, **self._by_mid}
        return {known: each.label.value for known, each in sorted(everything.items()) if each.rule == "corrections"}

    def captured(self) -> dict[str, Assignment]:
        """Return the assignments of Open Images classes, by MID."""
        return dict(self._by_mid)
