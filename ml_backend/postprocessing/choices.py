"""Scores of the choices of one control, and the decision which of them hold.

With a classifier, the score of a choice is the sum of the probabilities of its classes: the label map assigns each class to one choice, so each
probability counts once. With detections, it is the score of the best detection whose class is assigned to the choice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ml_backend.label_studio.controls.choices import ChoicesControl, TaxonomyControl, TaxonomyItem
from ml_backend.label_studio.controls.control import Label
from ml_backend.label_studio.regions import PATH_SEPARATOR
from ml_backend.model_results import ModelResults
from ml_backend.postprocessing.label_map import Assignment, LabelMap
from ml_backend.postprocessing.selection import as_score, threshold_of
from ml_backend.vocabularies.class_list import ModelClass

EVIDENCE = 3  # classes that a reason names

Path = tuple[str, ...]  # of a choice in a tree; one value outside of one

ChoiceDecisionKind = Literal[
    "kept", "below the threshold", "not the highest", "skipped", "no class", "part of another", "not a leaf"
]


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

    def decide(self, images: Sequence[ModelResults], default_threshold: float | None) -> list[ChoiceDecision]:
        """Decide on each choice.

        Args:
            images: the results that are decided on together: of one image, or of all images of a list. Probabilities are their mean.
            default_threshold: lowest score that is shown where neither choice nor control has a threshold, 0 to 1; with None there is no threshold.

        Returns:
            One decision for each choice, in the order of the config.
        """
        found = self._found(images)
        decisions = [
            self._decide(choice, found.get(_path(choice), []), default_threshold) for choice in self.control.labels
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
    def _assigned(self) -> list[tuple[int, Label]]:
        """The outputs of the classifier that have a choice, with the choice."""
        found = ((index, self.label_map.assignment(*each)) for index, each in enumerate(self.classes))
        return [(index, assignment.label) for index, assignment in found if assignment]

    def _found(self, images: Sequence[ModelResults]) -> dict[Path, list[tuple[str, float]]]:
        """Return the classes of each choice that were found, with their probabilities or best scores, the best first.

        In a tree, an item has the classes of the items below it too.
        """
        found: dict[Path, list[tuple[str, float]]] = {}
        if self.classes:
            probabilities = _mean(images).tolist()
            for index, label in self._assigned:
                for path in _way_to(label):
                    found.setdefault(path, []).append((self.classes[index].name, probabilities[index]))
        else:
            best: dict[tuple[Path, str], float] = {}
            for detections in (image.boxes for image in images):
                for name, mid, score in zip(
                    detections.class_names, detections.class_mids, detections.scores.tolist(), strict=True
                ):
                    assignment = self.label_map.assignment(name, mid)
                    for path in _way_to(assignment.label) if assignment else ():
                        best[path, name] = max(score, best.get((path, name), 0.0))
            for (path, name), score in best.items():
                found.setdefault(path, []).append((name, score))
        return {path: sorted(classes, key=lambda each: -each[1]) for path, classes in found.items()}

    def _decide(self, choice: Label, found: list[tuple[str, float]], default_threshold: float | None) -> ChoiceDecision:
        """Apply the rules that do not depend on other choices."""
        scores = [score for _, score in found]
        score = min(1.0, sum(scores)) if self.classes else max(scores, default=0.0)
        threshold = threshold_of(choice, self.control, default_threshold)
        kind: ChoiceDecisionKind = "kept"
        reason = f"{choice.value} {score:.2f}"
        if self.control.skip or choice.skip:
            kind, reason = "skipped", 'model_skip="true"'
        elif not found:
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


def _path(choice: Label) -> Path:
    return choice.path if isinstance(choice, TaxonomyItem) else (choice.value,)


def _way_to(choice: Label) -> list[Path]:
    """Return the paths of the items above a choice in a tree, and its own."""
    path = _path(choice)
    return [path[:depth] for depth in range(1, len(path) + 1)]


def _choose_paths(decisions: Sequence[ChoiceDecision], control: TaxonomyControl, *, one: bool) -> None:
    """Keep whole paths, as deep as scores allow: one of a classifier, several of detections.

    A path goes on from an item to its best item below while that one is kept. With ``leafsOnly`` it has to reach an item without others below.
    """
    kept = {_path(each.choice): each for each in decisions if each.kind == "kept"}
    scores = {_path(each.choice): each.score for each in decisions}
    goes_on = {path[:-1] for path in kept}
    leaves = {_path(each) for each in control.labels if isinstance(each, TaxonomyItem) and each.is_leaf}
    ends = [each for path, each in kept.items() if path not in goes_on and (path in leaves or not control.leaves_only)]

    def scores_on_the_way(end: ChoiceDecision) -> list[float]:
        return [scores[path] for path in _way_to(end.choice)]

    def described(end: ChoiceDecision) -> str:
        return PATH_SEPARATOR.join(f"{path[-1]} {scores[path]:.2f}" for path in _way_to(end.choice))

    if one and ends:
        ends = [max(ends, key=scores_on_the_way)]
    ends = sorted(ends, key=lambda end: -end.score)[: control.max_usages]
    chosen = " and ".join(map(described, ends))
    for path, each in kept.items():
        below = [end.choice.value for end in ends if end is not each and _path(end.choice)[: len(path)] == path]
        if below:
            each.kind, each.reason = "part of another", f"the path goes on to {' and '.join(below)}"
        elif not ends:
            each.kind, each.reason = "not a leaf", 'leafsOnly="true", and no choice below it reaches its threshold'
        elif each not in ends:
            each.kind, each.reason = "not the highest", f"another path is chosen: {chosen}"
