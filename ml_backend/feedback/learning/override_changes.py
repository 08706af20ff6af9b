"""The differences between two sets of overrides, for people: what a revision changed, and what the next one would change."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from ml_backend.feedback.store.revisions import Revision
from ml_backend.postprocessing.overrides import LabelOverrides
from ml_backend.vocabularies.open_images import open_images_classes

V = TypeVar("V")

BY_NAME, OF_LABEL = "by its name", "that of its label"


@dataclass(frozen=True, slots=True)
class Change:
    """One change.

    Attributes:
        of: what changes.
        before, after: its value in words.
    """

    of: str
    before: str
    after: str


def class_names(evidence: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the names of classes by MID, from Open Images and from the evidence of revisions and proposals."""
    told = {each["known"]: each["class_name"] for values in evidence for each in values.get("classes", ())}
    return open_images_classes().name_by_id | told


def changes_between(
    before: LabelOverrides, after: LabelOverrides, names: Mapping[str, str], general: float
) -> list[Change]:
    """Return the changes from one set of overrides to another: thresholds of labels, then classes.

    Args:
        before: the overrides now.
        after: the overrides then.
        names: of classes by MID.
        general: threshold of labels of which nothing is learned, 0 to 1.
    """
    was, will = before, after
    found = _differ("threshold of {}", was.thresholds, will.thresholds, {}, f"{general:g}")
    found += _differ("class {}", _labels(was), _labels(will), names, BY_NAME)
    found += _differ("class {} and those below it", was.branches, will.branches, names, BY_NAME)
    found += _differ("lowest score of class {}", was.class_thresholds, will.class_thresholds, names, OF_LABEL)
    rules = {(control, known): each for control, known, each in was.splits}
    for control, known, split in will.splits:
        old = rules.get((control, known))
        if old is not None and old != split and old.described == split.described:
            found.append(
                Change(f"class {names.get(known, known)}", old.described, f"{split.described}, told apart anew")
            )
    return found


def changes_of(past: Iterable[Revision], names: Mapping[str, str], general: float) -> list[list[Change]]:
    """Return the changes of each revision, each from the one before.

    Args:
        past: revisions by ascending number, from the first one on.
        names: of classes by MID.
        general: threshold of labels of which nothing is learned, 0 to 1.
    """
    found, before = [], LabelOverrides()
    for revision in past:
        found.append(changes_between(before, revision.overrides, names, general))
        before = revision.overrides
    return found


def _labels(overrides: LabelOverrides) -> list[tuple[str, str, str]]:
    """Return the labels of classes; of those whose boxes have several labels, all of them."""
    split = {(control, known): each.described for control, known, each in overrides.splits}
    return [(control, known, split.get((control, known), label)) for control, known, label in overrides.classes]


def _differ(
    what: str,
    before: Iterable[tuple[str, str, V]],
    after: Iterable[tuple[str, str, V]],
    names: Mapping[str, str],
    else_: str,
) -> list[Change]:
    """Return the differences of one kind; ``else_`` is what counts where nothing is learned."""
    was = {(control, name): _in_words(value) for control, name, value in before}
    will = {(control, name): _in_words(value) for control, name, value in after}
    both = {**was, **will}
    several = len({control for control, _ in both}) > 1
    return [
        Change(
            what.format(names.get(name, name)) + (f" ({control})" if several else ""),
            was.get((control, name), else_),
            will.get((control, name), else_),
        )
        for control, name in both
        if was.get((control, name)) != will.get((control, name))
    ]


def _in_words(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
