"""Scores of the choices of one control, and the decision which of them hold.

With a classifier, the score of a choice is the sum of the probabilities of its classes: the label map assigns each class to one choice, so each
probability counts once. With detections, it is the score of the best detection whose class is assigned to the choice.
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ml_backend.label_studio.controls.choices import ChoicesControl, TaxonomyControl, TaxonomyItem
from ml_backend.label_studio.controls.control import Label
from ml_backend.model_results import ModelResults
from ml_backend.postprocessing.label_map import Assignment, LabelMap
from ml_backend.postprocessing.selection import as_score, threshold_of
from ml_backend.vocabularies.class_list import ModelClass

EVIDENCE = 3  # classes that a reason names

ChoiceDecisionKind = Literal["kept", "below the threshold", "not the highest", "skipped", "no class", "part of another"]


@dataclass(slots=True)
class ChoiceDecision:
    """The decision on one choice: whether it holds, and why.

    Attributes:
        choice: of the control.
        score: 0 to 1.
        kind: the decision.
        reason: the decision as a text with the decisive figures.
        evidence: the classes of the choice that were found, with their probabilities or scores, the best first.
    """

    choice: Label
    score: float
    kind: ChoiceDecisionKind
    reason: str
    evidence: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class ServedChoices:
    """A control that classifies images, with its label map.

    Attributes:
        control: with the source of its results decided.
        label_map: from the classes of that model to the choices.
        classes: of the classifier, by output; empty where detections decide.
    """

    control: ChoicesControl
    label_map: LabelMap
    classes: tuple[ModelClass, ...]

    def group(self, images: Sequence[ModelResults], item: int) -> Sequence[ModelResults]:
        """Return the images that are decided on together with the one at an index: all of them, or with ``perItem`` itself."""
        return images[item : item + 1] if self.control.per_item else images

    def decide(self, images: Sequence[ModelResults], default_threshold: float) -> list[ChoiceDecision]:
        """Decide on each choice.

        Args:
            images: the results that are decided on together: of one image, or of all images of a list. Probabilities are their mean.
            default_threshold: lowest score that is shown where neither choice nor control has a threshold, 0 to 1.

        Returns:
            One decision for each choice, in the order of the config.
        """
        found = self._found(images)
        scores = {
            choice: min(1.0, sum(score for _, score in found.get(choice.value, ())))
            if self.classes
            else max((score for _, score in found.get(choice.value, ())), default=0.0)
            for choice in self.control.labels
        }
        if isinstance(self.control, TaxonomyControl):
            scores = _with_lower_items(scores, operator.add if self.classes else max)
        decisions = [
            self._decide(choice, score, found.get(choice.value, []), default_threshold)
            for choice, score in scores.items()
        ]
        if isinstance(self.control, TaxonomyControl):
            _choose_paths(decisions, self.control, one=bool(self.classes))
        elif not self.control.multiple:
            _choose_one([each for each in decisions if each.kind == "kept"])
        return decisions

    def explain_classes(self, images: Sequence[ModelResults]) -> list[tuple[ModelClass, float, Assignment | None]]:
        """Return the classes of the classifier with their probabilities and choices, the most probable first; none for detections."""
        if not self.classes:
            return []
        probabilities = _mean(images)
        order = np.argsort(-probabilities, kind="stable")
        return [
            (each, float(probabilities[index]), self.label_map.assignment(each.name, each.id))
            for index in order.tolist()
            for each in [self.classes[index]]
        ]

    @cached_property
    def _assigned(self) -> list[tuple[int, str]]:
        """The outputs of the classifier that have a choice, with its value."""
        found = ((index, self.label_map.assignment(*each)) for index, each in enumerate(self.classes))
        return [(index, assignment.label.value) for index, assignment in found if assignment]

    def _found(self, images: Sequence[ModelResults]) -> dict[str, list[tuple[str, float]]]:
        """Return the classes that were found, with their probabilities or scores, by the value of their choice, the best first."""
        found: dict[str, list[tuple[str, float]]] = {}
        if self.classes:
            probabilities = _mean(images).tolist()
            for index, value in self._assigned:
                found.setdefault(value, []).append((self.classes[index].name, probabilities[index]))
        else:
            for detections in (image.boxes for image in images):
                for name, mid, score in zip(
                    detections.class_names, detections.class_mids, detections.scores.tolist(), strict=True
                ):
                    assignment = self.label_map.assignment(name, mid)
                    if assignment:
                        found.setdefault(assignment.label.value, []).append((name, score))
        return {value: sorted(classes, key=lambda each: -each[1]) for value, classes in found.items()}

    def _decide(
        self, choice: Label, score: float, found: list[tuple[str, float]], default_threshold: float
    ) -> ChoiceDecision:
        """Apply the rules that do not depend on other choices."""
        threshold = threshold_of(choice, self.control, default_threshold)
        kind: ChoiceDecisionKind = "kept"
        reason = f"{choice.value} {score:.2f}"
        if self.control.skip or choice.skip:
            kind, reason = "skipped", 'model_skip="true"'
        elif not found and not score:
            kind, reason = "no class", "no class of this choice was found"
        elif score < as_score(threshold):
            kind, reason = "below the threshold", f"below {threshold:.2f} ({score:.2f})"
        return ChoiceDecision(choice, score, kind, reason, tuple(found[:EVIDENCE]))


def _mean(images: Sequence[ModelResults]) -> NDArray[np.float64]:
    rows = [image.probabilities.probabilities for image in images]
    mean: NDArray[np.float64] = np.mean(np.asarray(rows, np.float64), axis=0)
    return mean


def _choose_one(kept: Sequence[ChoiceDecision]) -> None:
    best = max(kept, key=lambda each: each.score, default=None)
    for each in kept:
        if best is not None and each is not best:
            each.kind, each.reason = "not the highest", f"{best.choice.value} is higher ({best.score:.2f})"


def _with_lower_items(scores: dict[Label, float], combine: Callable[[float, float], float]) -> dict[Label, float]:
    """Return the scores of items in a tree with those of the items below them."""
    items = {each.path: each for each in scores if isinstance(each, TaxonomyItem)}
    totals = {path: scores[item] for path, item in items.items()}
    for path in sorted(totals, key=len, reverse=True):
        if path[:-1] in totals:
            totals[path[:-1]] = combine(totals[path[:-1]], totals[path])
    return {items[path]: min(1.0, total) for path, total in totals.items()}


def _choose_paths(decisions: Sequence[ChoiceDecision], control: TaxonomyControl, *, one: bool) -> None:
    """Keep whole paths, as deep as scores allow: one of a classifier, several of detections.

    A path goes on from an item to its best item below while that one is kept. With ``leafsOnly`` it has to reach an item without others below.
    """
    kept = {
        each.choice.path: each for each in decisions if isinstance(each.choice, TaxonomyItem) and each.kind == "kept"
    }
    ends = []
    goes_on = {path[:-1] for path in kept}
    for path, each in kept.items():
        if (
            path not in goes_on
            and isinstance(each.choice, TaxonomyItem)
            and (each.choice.is_leaf or not control.leaves_only)
        ):
            ends.append(each)
    if one:
        ends = [_best_end(kept, ends)] if ends else []
    ends = sorted(ends, key=lambda each: -each.score)[: control.max_usages]
    for each in kept.values():
        if each not in ends:
            each.kind, each.reason = "part of another", "another path is chosen, or one that goes on below this item"


def _best_end(kept: dict[tuple[str, ...], ChoiceDecision], ends: list[ChoiceDecision]) -> ChoiceDecision:
    """Return the end that is reached by the best item on each level."""

    def scores_on_the_way(end: ChoiceDecision) -> list[float]:
        path = end.choice.path if isinstance(end.choice, TaxonomyItem) else ()
        return [kept[path[:depth]].score if path[:depth] in kept else 0.0 for depth in range(1, len(path) + 1)]

    return max(ends, key=scores_on_the_way)
