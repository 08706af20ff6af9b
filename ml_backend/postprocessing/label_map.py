"""The label map: from the classes of a detector to the labels of a control. Computed once for each control."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ml_backend.detections import Detections
from ml_backend.errors import LabelConfigError
from ml_backend.label_studio.controls.control import Control, Label
from ml_backend.postprocessing.box_features import features_of
from ml_backend.postprocessing.label_split import LabelSplit
from ml_backend.postprocessing.overrides import NO_OVERRIDES, LabelOverrides
from ml_backend.vocabularies.class_list import ClassList, fold
from ml_backend.vocabularies.open_images import open_images_classes

Rule = Literal["predicted_values", "corrections", "name", "synonym", "hierarchy"]
MAX_ASSIGNED = 10_000  # classes that a label map remembers the assignments of; no vocabulary has as many
STRONGER_THAN_NAMES: tuple[Rule, ...] = ("predicted_values", "corrections")


@dataclass(frozen=True, slots=True)
class Assignment:
    """The label of a class, and the rule that assigned it.

    Attributes:
        label: of the control.
        rule: the rule that decided.
        ancestor: id of the superclass that has the label; empty unless the rule is ``hierarchy``.
        threshold: lowest score of the class that is shown, 0 to 1; that of the label counts where it is higher.
        split: of a class whose boxes have several labels; ``label`` is then the most probable one of the class.
        probability: of the label of a box of such a class; else 1.
    """

    label: Label
    rule: Rule
    ancestor: str = ""
    threshold: float = 0.0
    split: LabelSplit | None = None
    probability: float = 1.0


class LabelMap:
    """Assigns classes to the labels of one control, by the first rule that applies.

    1. ``predicted_values`` of a label list the class's name, synonym or id.
    2. Corrections assign the class to a label (:class:`~ml_backend.postprocessing.overrides.LabelOverrides`). A branch, learned from several
       subclasses of a class, also passes its label on to subclasses by rule 4.
    3. The class's name or id is that of a label: exactly, else compared by :func:`fold`, else as a synonym.
    4. A superclass in the hierarchy of the vocabulary has a label: the nearest of the most specific ones, and among equals the first in
       the config.
       ``model_hierarchy="false"`` on the control or the label switches this rule off.

    Args:
        control: the control tag.
        vocabulary: the classes with their hierarchy; by default those of Open Images.
        overrides: learned labels.

    Attributes:
        overrides: learned labels, as given.

    Raises:
        LabelConfigError: two labels without a common alias list the same class in ``predicted_values``.
    """

    def __init__(
        self, control: Control, vocabulary: ClassList | None = None, overrides: LabelOverrides = NO_OVERRIDES
    ) -> None:
        self.overrides = overrides
        self._vocabulary = vocabulary or open_images_classes()
        self._assigned: dict[tuple[str, str], Assignment | None] = {}
        self._by_id: dict[str, Assignment] = {}
        self._by_name: dict[str, Assignment] = {}  # by folded text: for classes that the vocabulary does not have
        self._claim_predicted(control)
        self._by_value = {label.value: label for label in control.labels}
        self._claim_branches(overrides.branches_of(control), self._by_value)
        self._claim_named(control)
        if control.hierarchy:
            self._inherit(control)
        self._correct(overrides.classes_of(control), overrides.class_thresholds_of(control), self._by_value)
        self._is_split = False
        for text, split in overrides.splits_of(control).items():
            self._split(text, split)

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

    def _correct(
        self, overrides: Mapping[str, str], thresholds: Mapping[str, float], by_value: Mapping[str, Label]
    ) -> None:
        """Assign single classes by corrections; their subclasses keep their assignments."""
        for text, value in overrides.items():
            known = self._vocabulary.find(text)
            place, key = (self._by_name, fold(text)) if known is None else (self._by_id, known)
            now = place.get(key)
            settled = now is not None and (now.rule == "predicted_values" or now.label.value == value)
            if value in by_value and not settled:
                place[key] = Assignment(by_value[value], "corrections", threshold=thresholds.get(text, 0.0))

    def _split(self, text: str, split: LabelSplit) -> None:
        """Let the boxes of a class have several labels by corrections, as far as the control has these labels."""
        known = self._vocabulary.find(text)
        place, key = (self._by_name, fold(text)) if known is None else (self._by_id, known)
        now = place.get(key)
        limited = split.limited_to(self._by_value)
        if limited is not None and (now is None or now.rule != "predicted_values"):
            place[key] = Assignment(self._by_value[limited.first], "corrections", split=limited)
            self._is_split = True

    def _claim_named(self, control: Control) -> None:
        named = [(label, name) for label in control.labels for name in label.names]
        class_names = set(self._vocabulary.names)
        exact = [(label, name) for label, name in named if name in class_names]
        for label, name in [*exact, *named]:
            self._claim(name, Assignment(label, "name"))
        for label, name in named:
            meant = self._vocabulary.find_synonym(name)
            if meant is not None and self._vocabulary.find(name) is None:
                self._by_id.setdefault(meant, Assignment(label, "synonym"))

    def _claim(self, text: str, assignment: Assignment) -> Assignment:
        """Assign the class with this name or id unless it has an assignment; returns the one in force."""
        known = self._vocabulary.find(text)
        if assignment.rule == "predicted_values":
            known = known or self._vocabulary.find_synonym(text)
        if known is None:
            return self._by_name.setdefault(fold(text), assignment)
        if assignment.rule != "corrections":  # learned from classes, and not from words
            self._by_name.setdefault(fold(text), assignment)
        return self._by_id.setdefault(known, assignment)

    def _inherit(self, control: Control) -> None:
        order = {label: index for index, label in enumerate(control.labels)}
        explicit = dict(self._by_id)
        passed_on = {known for known, each in explicit.items() if each.label.hierarchy}
        above: dict[str, set[str]] = {}  # of candidates alone
        for each in self._vocabulary.ids:
            if each in explicit:
                continue
            levels = list(self._vocabulary.ancestors(each))
            candidates = {up: level for level, ups in enumerate(levels) for up in ups if up in passed_on}
            if candidates:
                above.update({up: self._above(up) for up in candidates if up not in above})
                less_specific = set().union(*(above[up] for up in candidates))
                specific = candidates.keys() - less_specific
                ancestor = min(specific, key=lambda up: (candidates[up], order[explicit[up].label], up))
                self._by_id[each] = Assignment(explicit[ancestor].label, "hierarchy", ancestor)

    def _above(self, known: str) -> set[str]:
        return {up for level in self._vocabulary.ancestors(known) for up in level}

    def assignment(self, class_name: str, class_id: str) -> Assignment | None:
        """Return the assignment of a class by its id, else by its name (either may be empty); None where it has none.

        A class of another list can have an id of the vocabulary and a name of its own: COCO's ``mouse`` is a computer mouse. A label of
        that very name means it.
        """
        key = class_name, class_id
        if key not in self._assigned:
            if len(self._assigned) >= MAX_ASSIGNED:
                self._assigned.clear()
            self._assigned[key] = self._assign(class_name, class_id)
        return self._assigned[key]

    def _assign(self, class_name: str, class_id: str) -> Assignment | None:
        known_as = self._vocabulary.name_by_id.get(class_id)
        if known_as is not None:
            by_id = self._by_id.get(class_id)
            if not class_name or fold(class_name) == fold(known_as) or (by_id and by_id.rule in STRONGER_THAN_NAMES):
                return by_id
            return self._by_name.get(fold(class_name)) or by_id
        by_foreign_id = self._by_name.get(fold(class_id)) if class_id else None
        known = self._vocabulary.find(class_name) or ""
        return by_foreign_id or self._by_id.get(known) or self._by_name.get(fold(class_name))

    def assignments(self, detections: Detections) -> list[Assignment | None]:
        """Return the assignment of each detection: that of its class, or of its box where the boxes of its class have several labels."""
        found = [
            self.assignment(name, mid) for name, mid in zip(detections.class_names, detections.class_mids, strict=True)
        ]
        if not self._is_split:
            return found
        rows_of: dict[int, tuple[LabelSplit, list[int]]] = {}
        for row, assignment in enumerate(found):
            if assignment is not None and assignment.split is not None:
                rows_of.setdefault(id(assignment.split), (assignment.split, []))[1].append(row)
        for split, rows in rows_of.values():
            chosen = split.labels_of(features_of(detections, np.array(rows)))
            for row, (label, probability, lowest) in zip(rows, chosen, strict=True):
                found[row] = Assignment(
                    self._by_value[label], "corrections", threshold=lowest, split=split, probability=probability
                )
        return found

    def labels_of(self, class_name: str, class_id: str) -> set[Label]:
        """Return the labels that boxes of a class can have."""
        found = self.assignment(class_name, class_id)
        if found is None or found.split is None:
            return {found.label} if found else set()
        return {self._by_value[each] for each in found.split.labels}

    def label_for(self, class_name: str, class_mid: str) -> str | None:
        """Return the value of the label of a class, or None."""
        found = self.assignment(class_name, class_mid)
        return found.label.value if found else None

    def described(self, label: Label) -> str:
        """Return the name of a label that no class reaches, with the label that has its class instead, if there is one."""
        name = label.names[0]
        known = self._vocabulary.find(name) or self._vocabulary.find_synonym(name)
        taken = None if known is None else self._by_id.get(known)
        if taken is None or taken.label.value == label.value:
            return name
        return f"{name} (its class {self._vocabulary.name_by_id[known or '']} goes to {taken.label.value})"

    def ambiguities(self, labels: Sequence[Label]) -> list[str]:
        """Return a sentence for each label whose word has further meanings in the vocabulary, which no label has."""
        found = []
        for label in labels:
            if label.predicted_values or label.skip:
                continue
            name = label.names[0]
            others = [each for each in self._vocabulary.other_meanings(name) if each not in self._by_id]
            if others:
                meant = self._vocabulary.find(name) or self._vocabulary.find_synonym(name) or ""
                listed = ", ".join(map(self._kind_of, others))
                found.append(
                    f"{name!r} is taken to mean {self._kind_of(meant)}; other meanings need predicted_values: {listed}"
                )
        return found

    def _kind_of(self, known: str) -> str:
        parents = self._vocabulary.parents.get(known, ())
        names = self._vocabulary.name_by_id
        return f"{known} ({names[known]}, a kind of {names[parents[0]]})" if parents else f"{known} ({names[known]})"

    def corrected(self) -> dict[str, str]:
        """Return the labels of classes that corrections have assigned, by id, or by folded name where they have none."""
        everything = {**self._by_name, **self._by_id}
        return {known: each.label.value for known, each in sorted(everything.items()) if each.rule == "corrections"}

    def class_thresholds(self) -> dict[str, float]:
        """Return the thresholds of classes that corrections have assigned, where they have one, by id or folded name."""
        everything = {**self._by_name, **self._by_id}
        return {known: each.threshold for known, each in sorted(everything.items()) if each.threshold}

    def splits(self) -> dict[str, LabelSplit]:
        """Return the splits of classes whose boxes have several labels, by id or folded name."""
        everything = {**self._by_name, **self._by_id}
        return {known: each.split for known, each in sorted(everything.items()) if each.split is not None}

    def captured(self) -> dict[str, Assignment]:
        """Return the assignments of the classes of the vocabulary, by id."""
        return dict(self._by_id)
