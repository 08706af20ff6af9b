"""Outcomes of choices: what annotators did with the choices that they were shown."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from ml_backend.feedback.evaluation.statistics import Share
from ml_backend.feedback.store.annotation_records import Annotation
from ml_backend.label_studio.labelled_choices import LabelledChoices

NOTHING = ""  # in place of a choice; no choice has an empty text
EXAMPLES = 3  # tasks that are named for each pair of choices

ChoiceOutcome = Literal["kept", "changed", "removed", "added", "empty"]
CHOICE_OUTCOMES: tuple[ChoiceOutcome, ...] = ("kept", "changed", "removed", "added", "empty")


class ShownAndSubmitted(NamedTuple):
    """The choices under one control, for one image or for all images of a list together.

    Attributes:
        control: ``from_name`` of the control.
        shown: by the prediction.
        submitted: by the annotator.
    """

    control: str
    shown: frozenset[str]
    submitted: frozenset[str]

    @property
    def outcome(self) -> ChoiceOutcome:
        """The outcome of the shown choices; ``kept`` means the same set, and ``empty`` nothing shown and nothing submitted."""
        if self.shown == self.submitted:
            return "kept" if self.shown else "empty"
        if not self.shown:
            return "added"
        return "changed" if self.submitted else "removed"

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Yield each shown choice with the submitted one in its place, :data:`NOTHING` where there is none.

        Of several choices, those in both sets are pairs of their own. One that went and one that came are a pair; of more, nobody can
        tell which replaced which. Each shown and each submitted choice is in one pair.
        """
        gone, come = self.shown - self.submitted, self.submitted - self.shown
        yield from ((choice, choice) for choice in self.shown & self.submitted)
        if len(gone) == len(come) == 1 or not (self.shown or self.submitted):
            yield min(gone, default=NOTHING), min(come, default=NOTHING)
            return
        yield from ((choice, NOTHING) for choice in gone)
        yield from ((NOTHING, choice) for choice in come)


def shown_and_submitted(annotation: Annotation, controls: Collection[str]) -> Iterator[ShownAndSubmitted]:
    """Yield the choices of an annotation under those of some controls that its label config had.

    With ``perItem``, images for which nothing was shown and nothing submitted are left out, except for one if there is no other.
    """
    shown, submitted = _by_place(annotation.shown_choices or ()), _by_place(annotation.choices)
    for control in controls:
        if control not in annotation.drawable:
            continue
        here = sorted({place for place in (*shown, *submitted) if place[0] == control}) or [(control, 0)]
        for place in here:
            yield ShownAndSubmitted(control, shown.get(place, frozenset()), submitted.get(place, frozenset()))


def _by_place(choices: Iterable[LabelledChoices]) -> dict[tuple[str, int], frozenset[str]]:
    found: dict[tuple[str, int], frozenset[str]] = {}
    for each in choices:
        place = (each.control, each.item)
        found[place] = found.get(place, frozenset()).union(each.choices)
    return found


@dataclass
class ChoiceOutcomes:
    """Counts of the outcomes of one control, where annotators saw the prediction.

    Attributes:
        labels: the choices of the label config.
        outcomes: how often each occurred.
        pairs: how often each submitted choice stood in the place of each shown one, see :meth:`ShownAndSubmitted.pairs`.
        examples: tasks of each pair of different choices, at most :data:`EXAMPLES`.
        withheld: how often each would have occurred where the prediction was withheld.
        unseen: how often annotators saw no prediction for other reasons; these count nowhere else.
    """

    labels: tuple[str, ...] = ()
    outcomes: Counter[ChoiceOutcome] = field(default_factory=Counter)
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    withheld: Counter[ChoiceOutcome] = field(default_factory=Counter)
    unseen: int = 0

    def add(self, case: ShownAndSubmitted, annotation: Annotation) -> None:
        """Add the choices of one image of an annotation."""
        if annotation.shown is None or annotation.shown_choices is None:  # older records do not tell the shown choices
            self.unseen += 1
            return
        if annotation.audited:
            self.withheld[case.outcome] += 1
            return
        self.outcomes[case.outcome] += 1
        for pair in case.pairs():
            self.pairs[pair] += 1
            task, tasks = annotation.task, self.examples.setdefault(pair, []) if pair[0] != pair[1] else []
            if len(tasks) < EXAMPLES and task not in tasks:
                tasks.append(task)

    @property
    def shown(self) -> int:
        """How often choices were shown."""
        return self.accuracy.total

    @property
    def edits(self) -> int:
        """How often annotators changed, removed or added choices; 0 for a control under which nothing was ever shown."""
        return sum(self.outcomes[each] for each in ("changed", "removed", "added")) if self.shown else 0

    @property
    def accuracy(self) -> Share:
        """Share of the shown choices that annotators kept as they were."""
        return _kept(self.outcomes)

    @property
    def accuracy_unseen(self) -> Share:
        """Share of the withheld choices that annotators submitted by themselves."""
        return _kept(self.withheld)

    def by_choice(self) -> dict[str, tuple[Share, Share]]:
        """Return precision and recall of each choice that was shown or submitted, the most frequent first, then those of the label config."""
        shown: Counter[str] = Counter()
        submitted: Counter[str] = Counter()
        for (before, after), count in self.pairs.items():
            shown[before] += count
            submitted[after] += count
        found = sorted({*shown, *submitted} - {NOTHING}, key=lambda each: (-shown[each] - submitted[each], each))
        return {
            each: (Share(self.pairs[each, each], shown[each]), Share(self.pairs[each, each], submitted[each]))
            for each in dict.fromkeys([*found, *self.labels])
        }

    def confusions(self) -> list[tuple[str, str, int]]:
        """Return the pairs of different choices with their numbers, the most frequent first."""
        found = [(shown, submitted, count) for (shown, submitted), count in self.pairs.items() if shown != submitted]
        return sorted(found, key=lambda each: (-each[2], each))

    def table(self, largest: int) -> tuple[list[str], list[list[int]]]:
        """Return the confusion table of the most frequent choices, with the rest of them summed.

        Args:
            largest: number of choices with a row and a column of their own.

        Returns:
            These choices, and the numbers of pairs by shown and by submitted choice; the last row and column but one are the rest, and
            the last ones :data:`NOTHING`.
        """
        names = [each for each, (precision, recall) in self.by_choice().items() if precision.total + recall.total]
        names = names[:largest]
        place = {name: index for index, name in enumerate(names)} | {NOTHING: len(names) + 1}
        cells = [[0] * (len(names) + 2) for _ in range(len(names) + 2)]
        for (shown, submitted), count in self.pairs.items():
            cells[place.get(shown, len(names))][place.get(submitted, len(names))] += count
        return names, cells

    def to_json(self, control: str) -> dict[str, Any]:
        """Return it as plain JSON values; null in a confusion stands for no choice."""
        return {
            "control": control,
            "outcomes": {name: self.outcomes[name] for name in CHOICE_OUTCOMES},
            "unseen": self.unseen,
            "accuracy": self.accuracy.to_json(),
            "accuracy_unseen": self.accuracy_unseen.to_json(),
            "choices": [
                {
                    "choice": choice,
                    "in_config": choice in labels,
                    "precision": precision.to_json(),
                    "recall": recall.to_json(),
                }
                for labels in [frozenset(self.labels)]
                for choice, (precision, recall) in self.by_choice().items()
            ],
            "confusions": [
                {
                    "shown": shown or None,
                    "submitted": submitted or None,
                    "count": count,
                    "tasks": self.examples[shown, submitted],
                }
                for shown, submitted, count in self.confusions()
            ],
        }


def _kept(outcomes: Counter[ChoiceOutcome]) -> Share:
    """Return the share of cases with shown choices whose choices were kept."""
    return Share(outcomes["kept"], outcomes["kept"] + outcomes["changed"] + outcomes["removed"])
