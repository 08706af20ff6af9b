"""The probability of each label for the objects of a class, from corrections of the class and its relatives, and from names."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ml_backend.feedback.learning.class_evidence import ClassEvidence
from ml_backend.feedback.learning.posterior import NAMED_STRENGTH, NONE, LabelPosterior, Parents
from ml_backend.label_studio.controls.rectangles import RectangleControl
from ml_backend.postprocessing.label_map import Assignment, LabelMap
from ml_backend.vocabularies.imagenet import imagenet_synsets
from ml_backend.vocabularies.open_images import open_images_classes


@dataclass(frozen=True)
class Belief:
    """The probabilities of labels for a class, the boxes that they rest on, and the evidence of the class itself, by label."""

    probabilities: dict[str, float]
    boxes: float
    seen: dict[str, float]


class LabelProbabilities:
    """The probability of each label of a control for the objects of a class: from evidence of the class and its relatives, and from names.

    Args:
        control: the control.
        own: its label map, without learned labels.
        evidence: of the classes.

    Attributes:
        learnable: labels without ``model_skip``.
        parents: returns the direct superclasses of a class; none with ``model_hierarchy="false"``.
        posterior: of the labels for classes that have none by name.
    """

    def __init__(self, control: RectangleControl, own: LabelMap, evidence: ClassEvidence) -> None:
        self.learnable = [label.value for label in control.labels if not label.skip]
        self._own = own
        self._weights = evidence.weights[control.from_name]
        self.parents: Parents = parents_of if control.hierarchy else lambda _: ()
        self.posterior = LabelPosterior(_of_relatives(self._weights, evidence.names, own), self.learnable, self.parents)
        self._named = _by_name(self._weights, evidence.names, own, self.learnable)
        self._found: dict[tuple[str, str], dict[str, float]] = {}

    def of(self, name: str, mid: str) -> dict[str, float]:
        """Return the probabilities of labels for a class, :data:`~ml_backend.feedback.learning.posterior.NONE` included.

        A label of ``predicted_values``, and one of a name that no correction speaks about, is certain.

        Args:
            name: of the class; empty for none.
            mid: of the class; empty for none.
        """
        if (name, mid) not in self._found:
            assigned = self._own.assignment(name, mid)
            belief = self.belief(mid or name, assigned) if mid or name else None
            certain = {assigned.label.value: 1.0} if assigned and assigned.label.value in self.learnable else {}
            self._found[name, mid] = belief.probabilities if belief else certain
        return self._found[name, mid]

    def belief(self, known: str, assigned: Assignment | None) -> Belief | None:
        """Return what corrections say about a class; None where they say nothing, or ``predicted_values`` have it.

        Args:
            known: MID of the class, else its name.
            assigned: its label without learned labels.
        """
        node = node_of(known)
        weights: Mapping[str, float] = self._weights.get(known, {})
        seen = {label: float(weight) for label, weight in weights.items() if label in (NONE, *self.learnable)}
        if assigned is None:
            return Belief(self.posterior.of(node), self.posterior.boxes(node), seen)
        if assigned.rule == "predicted_values" or assigned.label.value not in self.learnable:
            return None
        group = self._named.get(assigned.ancestor or node, Counter())
        if not group:
            return None
        others = {each: weight - seen.get(each, 0) for each, weight in group.items()}
        boxes = NAMED_STRENGTH + sum(weight for each, weight in seen.items() if each != NONE)
        return Belief(self.posterior.with_name(assigned.label.value, seen, others), boxes, seen)


def _of_relatives(
    weights: Mapping[str, Mapping[str, float]], names: Mapping[str, str], own: LabelMap
) -> dict[str, dict[str, float]]:
    """Return the evidence by class that its name does not explain: all of a class without a label, else that of other labels."""
    found = {}
    for known, of_class in weights.items():
        assigned = own.assignment(names[known], known)
        explained = {NONE, assigned.label.value} if assigned else set()
        found[node_of(known)] = {label: weight for label, weight in of_class.items() if label not in explained}
    return found


def _by_name(
    weights: Mapping[str, Mapping[str, float]], names: Mapping[str, str], own: LabelMap, learnable: Sequence[str]
) -> dict[str, Counter[str]]:
    """Return the evidence of the classes that have their label by the same name, by the place of the class that has the name."""
    found: dict[str, Counter[str]] = {}
    for known, of_class in weights.items():
        assigned = own.assignment(names[known], known)
        drawn = {label: weight for label, weight in of_class.items() if label in learnable}
        if assigned is not None and assigned.rule != "predicted_values" and drawn:
            found.setdefault(assigned.ancestor or node_of(known), Counter()).update(drawn)
    return found


def node_of(known: str) -> str:
    """Return the place of a class in a hierarchy: its MID of Open Images, else its synset of WordNet, else the class as it is known."""
    synsets = imagenet_synsets()
    return open_images_classes().find(known) or synsets.find(known) or synsets.find_synonym(known) or known


def parents_of(node: str) -> Sequence[str]:
    """Return the direct superclasses in the hierarchy that has the class; none at its top, and outside of both."""
    return open_images_classes().parents.get(node) or imagenet_synsets().parents.get(node, ())
