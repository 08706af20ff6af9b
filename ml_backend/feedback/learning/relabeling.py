"""What people call the classes of the detector, where they agree: so a project with labels of its own invention teaches them."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ml_backend.feedback.evaluation.statistics import Share
from ml_backend.feedback.evaluation.threshold_stats import ThresholdStats
from ml_backend.label_studio.controls import Control
from ml_backend.postprocessing.label_map import LabelMap
from ml_backend.vocabularies.open_images import open_images_classes

MIN_CASES = 10  # corrections on which a label for a class may rest
CONSISTENT = 0.8  # lower end of the 95 % interval of the share of those corrections that agree
WORTHWHILE = (
    0.5  # share of a class's boxes that must be somebody's: else the label would get more wrong boxes than right ones
)
MIN_KINDS = 2  # classes below one that must agree before it speaks for all its kinds, each in LEAST_OF_A_KIND cases
MIN_OF_A_KIND = 3


@dataclass(frozen=True)
class Relabeling:
    """A class that people call by one label again and again.

    Attributes:
        control: ``from_name`` of the control.
        known: the class's MID, its name where it has none.
        class_name: the class's name.
        before: the label that it goes to now, or empty.
        label: what people call it.
        agreeing: how many of the corrected boxes of the class got that label.
        boxes: all judged boxes of the class, those without an object too.
        kinds: names of the classes that speak for it, where it stands for a whole branch of the hierarchy.
    """

    control: str
    known: str
    class_name: str
    before: str
    label: str
    agreeing: Share
    boxes: int
    kinds: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return vars(self) | {"agreeing": [self.agreeing.hits, self.agreeing.total]}


def relabelings_of(stats: ThresholdStats) -> list[Relabeling]:
    """Return the classes that people call by one label, and that do not go there yet.

    At least :data:`MIN_CASES` of the corrected boxes of the class have the label, the lower end of the 95 % Wilson interval of their
    share reaches :data:`CONSISTENT`, and at least :data:`WORTHWHILE` of all its boxes do. The label config's ``predicted_values`` win.

    Few pictures hold ten cats, while dogs, cows and horses are called the same: a class above several that agree is judged by the boxes
    of all of them together, the most general first, and then brings kinds along that nobody has corrected yet.
    """
    found: list[Relabeling] = []
    for control, label_map in stats.postprocessor.controls:
        counts = {known: each for (name, known), each in stats.classes.items() if name == control.from_name}
        # Where a whole branch goes is not decided by what its own class alone is called.
        after = LabelMap(control, overrides=replace(label_map.overrides, classes=()))
        for known, pooled, kinds in _branches(counts) if control.hierarchy else ():
            relabeling = _relabeling_of(control, label_map, after, known, pooled, kinds)
            if relabeling:
                found.append(relabeling)
                after = LabelMap(
                    control, overrides=after.overrides.with_branch(control.from_name, known, relabeling.label)
                )
        after = LabelMap(control, overrides=replace(after.overrides, classes=label_map.overrides.classes))
        # What a branch brings along needs not be said again, and what it must not bring along needs to.
        single = (_relabeling_of(control, label_map, after, known, each, ()) for known, each in sorted(counts.items()))
        found += [relabeling for relabeling in single if relabeling]
    return found


def _branches(counts: dict[str, Counter[str]]) -> Iterator[tuple[str, Counter[str], tuple[str, ...]]]:
    """Yield each class above several that agree, with the counts of all below, the most general first."""
    classes = open_images_classes()
    below: dict[str, list[str]] = defaultdict(list)
    for known in counts:
        for level in classes.ancestors(known):
            for up in level:
                below[up].append(known)
    for up in sorted(below, key=lambda mid: (sum(1 for _ in classes.ancestors(mid)), mid)):
        members = below[up] + ([up] if up in counts else [])
        pooled: Counter[str] = Counter()
        for known in members:
            pooled += counts[known]
        label = _commonest(pooled)
        kinds = tuple(
            sorted(classes.name_by_mid[known] for known in below[up] if counts[known][label] >= MIN_OF_A_KIND)
        )
        if label and len(kinds) >= MIN_KINDS:
            yield up, pooled, kinds


def _relabeling_of(
    control: Control, before: LabelMap, after: LabelMap, known: str, counts: Counter[str], kinds: tuple[str, ...]
) -> Relabeling | None:
    """Return the label that a class should go to, unless it does ``after`` what was found so far."""
    label = _commonest(counts)
    goes_to = next((each for each in control.labels if each.value == label), None)
    if goes_to is None or goes_to.skip or control.skip or (kinds and not goes_to.hierarchy):
        return None
    name = open_images_classes().name_by_mid.get(known, known)
    now = after.assignment(name, known)
    if now is not None and (now.label.value == label or now.rule == "predicted_values"):
        return None
    agreeing = Share(counts[label], counts.total() - counts[""])
    if agreeing.hits < MIN_CASES or agreeing.interval[0] < CONSISTENT or agreeing.hits < WORTHWHILE * counts.total():
        return None
    was = before.label_for(name, known) or ""
    return Relabeling(control.from_name, known, name, was, label, agreeing, counts.total(), kinds)


def _commonest(counts: Counter[str]) -> str:
    """Return the label that most boxes got, the first in the alphabet among equals; empty where nobody drew anything."""
    return max(sorted(label for label in counts if label), key=counts.__getitem__, default="")
