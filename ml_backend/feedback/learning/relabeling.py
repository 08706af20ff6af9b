"""Labels that people consistently give to classes of the detector, so that a project can use labels of its own invention."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ml_backend.feedback.evaluation.statistics import Share
from ml_backend.feedback.evaluation.threshold_stats import ThresholdStats
from ml_backend.label_studio.controls.control import Control
from ml_backend.postprocessing.label_map import LabelMap
from ml_backend.vocabularies.open_images import open_images_classes

MIN_CASES = 10  # corrections that a relabeling needs
CONSISTENT = 0.8  # lower end of the 95 % interval of the share of corrections that agree
WORTHWHILE = (
    0.5  # share of all boxes of the class that must have the label: else it would get more wrong boxes than right ones
)
MIN_KINDS = (
    2  # classes below another one that must agree before all of its branch is relabeled, each in MIN_OF_A_KIND cases
)
MIN_OF_A_KIND = 3


@dataclass(frozen=True)
class Relabeling:
    """A class that people consistently call by one label.

    Attributes:
        control: ``from_name`` of the control.
        known: MID of the class, else its name.
        class_name: name of the class.
        before: its present label; empty for none.
        label: its new label.
        agreeing: share of the corrected boxes of the class that have that label.
        boxes: all boxes of the class, including those without an object.
        kinds: names of the classes that agree, for a whole branch of the hierarchy; else empty.
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
    """Return the classes that people call by another label than the present one.

    At least :data:`MIN_CASES` of the corrected boxes of the class have the label, the lower end of the 95 % Wilson interval of their
    share reaches :data:`CONSISTENT`, and at least :data:`WORTHWHILE` of all its boxes have it. ``predicted_values`` in the label config
    take precedence.

    Few projects have ten corrected cats, but cats, dogs and cows may have the same label. So classes of a branch that agree are counted
    together, the most general branch first, and the whole branch gets the label, with classes that nobody has corrected yet.
    """
    found: list[Relabeling] = []
    for control, label_map in stats.postprocessor.rectangles:
        counts = {known: each for (name, known), each in stats.classes.items() if name == control.from_name}
        # The label of a whole branch does not depend on that of its top class alone.
        after = LabelMap(control, overrides=replace(label_map.overrides, classes=()))
        for known, pooled, kinds in _branches(counts) if control.hierarchy else ():
            relabeling = _relabeling_of(control, label_map, after, known, pooled, kinds)
            if relabeling:
                found.append(relabeling)
                after = LabelMap(
                    control, overrides=after.overrides.with_branch(control.from_name, known, relabeling.label)
                )
        after = LabelMap(control, overrides=replace(after.overrides, classes=label_map.overrides.classes))
        # Classes that follow their branch need no relabeling of their own; exceptions from it do.
        single = (_relabeling_of(control, label_map, after, known, each, ()) for known, each in sorted(counts.items()))
        found += [relabeling for relabeling in single if relabeling]
    return found


def _branches(counts: dict[str, Counter[str]]) -> Iterator[tuple[str, Counter[str], tuple[str, ...]]]:
    """Yield each class above several that agree, with the counts of the whole branch, the most general first."""
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
        kinds = tuple(sorted(classes.name_by_id[known] for known in below[up] if counts[known][label] >= MIN_OF_A_KIND))
        if label and len(kinds) >= MIN_KINDS:
            yield up, pooled, kinds


def _relabeling_of(
    control: Control, before: LabelMap, after: LabelMap, known: str, counts: Counter[str], kinds: tuple[str, ...]
) -> Relabeling | None:
    """Return the relabeling of a class; None if it has the label already with the ones found so far (``after``)."""
    label = _commonest(counts)
    goes_to = next((each for each in control.labels if each.value == label), None)
    if goes_to is None or goes_to.skip or control.skip or (kinds and not goes_to.hierarchy):
        return None
    names = open_images_classes().name_by_id
    name, mid = names.get(known, known), known if known in names else ""
    now = after.assignment(name, mid)
    if now is not None and (now.label.value == label or now.rule == "predicted_values"):
        return None
    agreeing = Share(counts[label], counts.total() - counts[""])
    if agreeing.hits < MIN_CASES or agreeing.interval[0] < CONSISTENT or agreeing.hits < WORTHWHILE * counts.total():
        return None
    was = before.label_for(name, mid) or ""
    return Relabeling(control.from_name, known, name, was, label, agreeing, counts.total(), kinds)


def _commonest(counts: Counter[str]) -> str:
    """Return the most common label, the alphabetically first among equals; empty for none."""
    return max(sorted(label for label in counts if label), key=counts.__getitem__, default="")
