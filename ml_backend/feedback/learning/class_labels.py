"""Labels of classes, learned from what people drew where the detector found them, so that a project can use labels of its own invention."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ml_backend.feedback.learning.class_evidence import ClassEvidence
from ml_backend.feedback.learning.posterior import NAMED_STRENGTH, NONE, LabelPosterior, boxes_to_change
from ml_backend.label_studio.controls.rectangles import RectangleControl
from ml_backend.postprocessing.label_map import Assignment, LabelMap
from ml_backend.postprocessing.postprocessor import Postprocessor
from ml_backend.vocabularies.imagenet import imagenet_synsets
from ml_backend.vocabularies.open_images import open_images_classes


@dataclass(frozen=True)
class ClassLabel:
    """The most probable label of a class.

    Attributes:
        control: ``from_name`` of the control.
        known: MID of the class, else its name.
        class_name: name of the class.
        before: its present label; empty for none.
        label: its most probable label.
        probability: that a person calls an object of the class so, 0 to 1.
        evidence: weights of the class itself in boxes, by label; an empty label stands for objects that nobody draws.
        boxes_to_change: boxes under one other label that would take the class away from its label.
        learned: whether the label is not that of the class's name, synonym or hierarchy.
    """

    control: str
    known: str
    class_name: str
    before: str
    label: str
    probability: float
    evidence: dict[str, float]
    boxes_to_change: int
    learned: bool

    @property
    def changes(self) -> bool:
        """Whether the label is another one than the present one."""
        return self.label != self.before

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return vars(self)


def learn_labels(
    evidence: ClassEvidence, own: Postprocessor, current: Postprocessor, lowest: float
) -> list[ClassLabel]:
    """Return the most probable label of each class, as far as corrections or relatives say something about it.

    ``predicted_values`` always win, so their classes are left out. A class that has a label by its name, synonym or hierarchy keeps it until
    boxes of another label, its own or of other classes with the same name, outweigh the name
    (:data:`~ml_backend.feedback.learning.posterior.NAMED_STRENGTH`). Labels with ``model_skip``
    are not learned, and with ``model_hierarchy="false"`` only by classes that people called so themselves.

    Args:
        evidence: of the classes.
        own: postprocessor of the label config, without learned labels.
        current: postprocessor with the overrides in force.
        lowest: probability below which a learned label could not be shown with any score, 0 to 1.
    """
    now = {control.from_name: label_map for control, label_map in current.rectangles}
    found: list[ClassLabel] = []
    for control, label_map in own.rectangles:
        if not control.skip:
            found += _labels_of(control, label_map, now[control.from_name], evidence, lowest)
    return found


def _labels_of(
    control: RectangleControl, own: LabelMap, now: LabelMap, evidence: ClassEvidence, lowest: float
) -> Iterator[ClassLabel]:
    known_labels = LabelProbabilities(control, own, evidence)
    inherited = {label.value for label in control.labels if label.hierarchy} if control.hierarchy else set()
    for known, name, mid in _classes(evidence):
        node, assigned = node_of(known), own.assignment(name, mid)
        belief = known_labels.belief(known, assigned)
        if belief is None:
            continue
        options = [
            label
            for label in known_labels.learnable
            if label in belief.seen
            or (assigned is not None and label == assigned.label.value)
            or (label in inherited and (assigned is not None or known_labels.posterior.is_related(node, label)))
        ]
        label = max(options, key=belief.probabilities.__getitem__, default="")
        if not label or belief.probabilities[label] < lowest:
            continue
        found = ClassLabel(
            control.from_name,
            known,
            name,
            now.label_for(name, mid) or "",
            label,
            belief.probabilities[label],
            belief.seen,
            boxes_to_change(belief.probabilities, belief.boxes),
            assigned is None or assigned.label.value != label,
        )
        if found.evidence or found.learned or found.changes:
            yield found


@dataclass(frozen=True)
class _Belief:
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
        posterior: of the labels for classes that have none by name.
    """

    def __init__(self, control: RectangleControl, own: LabelMap, evidence: ClassEvidence) -> None:
        self.learnable = [label.value for label in control.labels if not label.skip]
        self._own = own
        self._weights = evidence.weights[control.from_name]
        self.posterior = LabelPosterior(
            _of_relatives(self._weights, evidence.names, own),
            self.learnable,
            parents_of if control.hierarchy else lambda _: (),
        )
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

    def belief(self, known: str, assigned: Assignment | None) -> _Belief | None:
        """Return what corrections say about a class; None where they say nothing, or ``predicted_values`` have it.

        Args:
            known: MID of the class, else its name.
            assigned: its label without learned labels.
        """
        node = node_of(known)
        weights: Mapping[str, float] = self._weights.get(known, {})
        seen = {label: float(weight) for label, weight in weights.items() if label in (NONE, *self.learnable)}
        if assigned is None:
            return _Belief(self.posterior.of(node), self.posterior.boxes(node), seen)
        if assigned.rule == "predicted_values" or assigned.label.value not in self.learnable:
            return None
        group = self._named.get(assigned.ancestor or node, Counter())
        if not group:
            return None
        others = {each: weight - seen.get(each, 0) for each, weight in group.items()}
        boxes = NAMED_STRENGTH + sum(weight for each, weight in seen.items() if each != NONE)
        return _Belief(self.posterior.with_name(assigned.label.value, seen, others), boxes, seen)


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


def _classes(evidence: ClassEvidence) -> Iterator[tuple[str, str, str]]:
    """Yield classes as they are known, with name and MID: first those in the records, then those of Open Images if the detector has these."""
    vocabulary = open_images_classes()
    nodes = {node_of(known) for known in evidence.names}
    for known, name in sorted(evidence.names.items()):
        yield known, name, known if known in vocabulary.name_by_id else ""
    if nodes & vocabulary.name_by_id.keys():
        for mid, name in vocabulary.name_by_id.items():
            if mid not in nodes:
                yield mid, name, mid


def node_of(known: str) -> str:
    """Return the place of a class in a hierarchy: its MID of Open Images, else its synset of WordNet, else the class as it is known."""
    synsets = imagenet_synsets()
    return open_images_classes().find(known) or synsets.find(known) or synsets.find_synonym(known) or known


def parents_of(node: str) -> Sequence[str]:
    """Return the direct superclasses in the hierarchy that has the class; none at its top, and outside of both."""
    return open_images_classes().parents.get(node) or imagenet_synsets().parents.get(node, ())
