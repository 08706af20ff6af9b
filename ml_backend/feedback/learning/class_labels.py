"""Labels of classes, learned from what people drew where the detector found them, so that a project can use labels of its own invention."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ml_backend.feedback.learning.class_evidence import ClassEvidence
from ml_backend.feedback.learning.class_splits import ClassSplits, split_of
from ml_backend.feedback.learning.drawn_boxes import DrawnBoxes
from ml_backend.feedback.learning.posterior import NAMED_STRENGTH, NONE, LabelPosterior, Parents, boxes_to_change
from ml_backend.label_studio.controls.rectangles import RectangleControl
from ml_backend.postprocessing.label_map import Assignment, LabelMap
from ml_backend.postprocessing.label_split import LabelSplit
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
        before: its present label, or all labels of its boxes; empty for none.
        label: its most probable label.
        probability: that a person calls an object of the class so, 0 to 1.
        evidence: weights of the class itself in boxes, by label; an empty label stands for objects that nobody draws.
        boxes_to_change: boxes under one other label that would take the class away from its label.
        learned: whether the label is not that of the class's name, synonym or hierarchy.
        split: how its boxes tell several labels apart; None where all have the same label.
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
    split: LabelSplit | None = None

    @property
    def after(self) -> str:
        """The label, or all labels of its boxes."""
        return self.split.described if self.split else self.label

    @property
    def changes(self) -> bool:
        """Whether the label is another one than the present one."""
        return self.after != self.before

    @property
    def highest(self) -> float:
        """The highest probability of a label that one of its boxes can have."""
        return sum(self.split.probabilities) if self.split else self.probability

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        values = {name: value for name, value in vars(self).items() if name != "split"}
        return values | ({"split": list(self.split.labels)} if self.split else {})


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
    learnable = [label.value for label in control.labels if not label.skip]
    weights = evidence.weights[control.from_name]
    parents: Parents = parents_of if control.hierarchy else lambda _: ()
    posterior = LabelPosterior(
        _of_relatives(weights, evidence.names, own),
        learnable,
        parents,
    )
    drawn = evidence.boxes[control.from_name]
    # A class whose boxes have the label of another class by its name is confused by the detector, and not split.
    by_name = {each.label.value for each in own.captured().values()}
    by_name |= {own.label_for(name, known) or "" for known, name in evidence.names.items()}
    invented = [label for label in dict.fromkeys(learnable) if label not in by_name]
    splits = ClassSplits(_without_name(drawn, evidence.names, own), invented, posterior.of, parents)
    named = _by_name(weights, evidence.names, own, learnable)
    inherited = {label.value for label in control.labels if label.hierarchy} if control.hierarchy else set()
    for known, name, mid in _classes(evidence):
        node, assigned = node_of(known), own.assignment(name, mid)
        seen = {label: float(weight) for label, weight in weights.get(known, {}).items() if label in (NONE, *learnable)}
        if assigned is None:
            probabilities, boxes = posterior.of(node), posterior.boxes(node)
        elif assigned.rule != "predicted_values" and assigned.label.value in learnable:
            group = named.get(assigned.ancestor or node, Counter())
            others = {each: weight - seen.get(each, 0) for each, weight in group.items()}
            if not group:
                continue
            probabilities = posterior.with_name(assigned.label.value, seen, others)
            boxes = NAMED_STRENGTH + sum(weight for each, weight in seen.items() if each != NONE)
        else:
            continue
        options = [
            label
            for label in learnable
            if label in seen
            or (assigned is not None and label == assigned.label.value)
            or (label in inherited and (assigned is not None or posterior.is_related(node, label)))
        ]
        label = max(options, key=probabilities.__getitem__, default="")
        if not label:
            continue
        if assigned is None:
            split = splits.of(node, options)
        else:  # the labels of its relatives are those of its name, whatever they look like
            own_labels = [each for each in options if each in invented or each == assigned.label.value]
            split = split_of(drawn[known], own_labels, probabilities) if known in drawn else None
        if split is not None and label not in split.labels:  # most boxes have a label that is no part of it
            split = None
        found = ClassLabel(
            control.from_name,
            known,
            name,
            _described(now.assignment(name, mid)),
            label,
            probabilities[label],
            seen,
            boxes_to_change(probabilities, boxes),
            assigned is None or assigned.label.value != label or split is not None,
            split,
        )
        if found.highest < lowest:
            continue
        if found.evidence or found.learned or found.changes:
            yield found


def _without_name(boxes: Mapping[str, DrawnBoxes], names: Mapping[str, str], own: LabelMap) -> dict[str, DrawnBoxes]:
    """Return the boxes of the classes that have no label by their name."""
    return {node_of(known): each for known, each in boxes.items() if own.assignment(names[known], known) is None}


def _described(assignment: Assignment | None) -> str:
    if assignment is None:
        return ""
    return assignment.split.described if assignment.split else assignment.label.value


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
