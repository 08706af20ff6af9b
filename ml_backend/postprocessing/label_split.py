"""Split labels: one class of the detector, several labels of the project, told apart by size, place and colours of the box.

P(label | class, box) is the probability of the label for the class times a factor of the box, and so that the labels keep their sum::

    P(label | class, box) = S P(label | class) e(label) / sum of P(label | class) e(label),   e = exp(weights (1, features - centre))

S is the sum of P(label | class); the rest belongs to objects that nobody draws, whatever they look like.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from ml_backend.postprocessing.box_probability import AS_SCORED, Floats, Platt

VERSION = 1  # of the features and the formula; splits of another one are not used

SEPARATOR = " / "  # between labels, for people


@dataclass(frozen=True)
class LabelSplit:
    """The labels of the boxes of one class.

    Attributes:
        labels: of the project, at least two.
        probabilities: of each label for the class, above 0; their sum is at most 1.
        centre: of each feature (:data:`~ml_backend.postprocessing.box_features.FEATURES`). An unknown feature counts as this.
        weights: of each label, a constant and a number for each feature.
        needed: for each label, the probability of being right from which its boxes are shown, 0 to 1.
        platt: the probability of boxes by their score.
    """

    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    centre: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]
    needed: tuple[float, ...]
    platt: Platt = AS_SCORED

    def of(self, features: Floats) -> Floats:
        """Return P(label | class, box), float64 [N, labels].

        Args:
            features: float64 [N, 10]; NaN where they are unknown.
        """
        weights = np.array(self.weights)
        away = np.nan_to_num(features - np.array(self.centre))
        logits = np.log(self.probabilities) + weights[:, 0] + away @ weights[:, 1:].T
        factors = np.exp(logits - logits.max(axis=1, keepdims=True))
        found: Floats = sum(self.probabilities) * factors / factors.sum(axis=1, keepdims=True)
        return found

    def labels_of(self, features: Floats) -> list[tuple[str, float, float]]:
        """Return the most probable label of each box, its probability, and the lowest score that is shown; more than 1 where no score is enough.

        Args:
            features: as for :meth:`of`.
        """
        probabilities = self.of(features)
        best = probabilities.argmax(axis=1)
        highest = probabilities[np.arange(len(best)), best]
        needed = np.array(self.needed)[best]
        lowest = np.where(needed > 0, self.platt.scores_for(needed / highest), 0)
        return list(zip((self.labels[each] for each in best), highest.tolist(), lowest.tolist(), strict=True))

    @property
    def first(self) -> str:
        """The most probable label of the class."""
        return self.labels[int(np.argmax(self.probabilities))]

    @property
    def described(self) -> str:
        """All labels, for people."""
        return SEPARATOR.join(self.labels)

    def limited_to(self, labels: Collection[str]) -> Self | None:
        """Return the split of those labels that are in a collection; None where none is."""
        kept = [place for place, label in enumerate(self.labels) if label in labels]
        if len(kept) == len(self.labels):
            return self
        if not kept:
            return None
        return replace(
            self,
            labels=tuple(self.labels[place] for place in kept),
            probabilities=tuple(self.probabilities[place] for place in kept),
            weights=tuple(self.weights[place] for place in kept),
            needed=tuple(self.needed[place] for place in kept),
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "version": VERSION,
            "labels": self.labels,
            "probabilities": self.probabilities,
            "centre": self.centre,
            "weights": self.weights,
            "needed": self.needed,
            "platt": [self.platt.a, self.platt.b],
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read the values of :meth:`to_json`, of this :data:`VERSION`."""
        a, b = values["platt"]
        return cls(
            tuple(map(str, values["labels"])),
            tuple(map(float, values["probabilities"])),
            tuple(map(float, values["centre"])),
            tuple(tuple(map(float, each)) for each in values["weights"]),
            tuple(map(float, values["needed"])),
            Platt(float(a), float(b)),
        )
