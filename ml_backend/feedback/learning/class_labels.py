"""Labels of classes, learned from what people drew where the detector found them, so that a project can use labels of its own invention."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ml_backend.feedback.learning.class_evidence import ClassEvidence
from ml_backend.feedback.learning.class_splits import ClassSplits, split_of
from ml_backend.feedback.learning.drawn_boxes import DrawnBoxes
from ml_backend.feedback.learning.label_probabilities import LabelProbabilities, node_of
from ml_backend.feedback.learning.posterior import boxes_to_change
from ml_backend.label_studio.controls.rectangles import RectangleControl
from ml_backend.postprocessing.label_map import Assignment, LabelMap
from ml_backend.postprocessing.label_split import LabelSplit
from ml_backend.postprocessing.postprocessor import Postprocessor
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
        return (
            values
            | {"after": self.after, "highest": self.highest}
            | ({"split": list(self.split.labels)} if self.split else {})
        )


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
    drawn = evidence.boxes[control.from_name]
    # A class whose boxes have the label of another class by its name is confused by the detector, and not split.
    by_name = {each.label.value for each in own.captured().values()}
    by_name |= {own.label_for(name, known) or "" for known, name in evidence.names.items()}
    invented = [label for label in dict.fromkeys(known_labels.learnable) if label not in by_name]
    without_name = _without_name(drawn, evidence.names, own)
    splits = ClassSplits(without_name, invented, known_labels.posterior.of, known_labels.parents)
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
        if not label:
            continue
        if assigned is None:
            split = splits.of(node, options)
        else:  # the labels of its relatives are those of its name, whatever they look like
            own_labels = [each for each in options if each in invented or each == assigned.label.value]
            split = split_of(drawn[known], own_labels, belief.probabilities) if known in drawn else None
        if split is not None and label not in split.labels:  # most boxes have a label that is no part of it
            split = None
        found = ClassLabel(
            control.from_name,
            known,
            name,
            _described(now.assignment(name, mid)),
            label,
            belief.probabilities[label],
            belief.seen,
            boxes_to_change(belief.probabilities, belief.boxes),
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
