"""The boxes that people drew where the detector found a class: all, or a random sample of them, with their features and labels."""

import random
from dataclasses import dataclass, field

import numpy as np

from ml_backend.postprocessing.box_features import FEATURES, Floats

MOST_BOXES = 2000  # that are kept, of about 100 bytes


@dataclass
class DrawnBoxes:
    """The boxes of one class.

    Attributes:
        labels: of the boxes that are kept.
        seen: number of boxes that were added.
    """

    labels: list[str] = field(default_factory=list)
    seen: int = 0
    _features: list[bytes] = field(default_factory=list)
    _chance: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311 - the same boxes give the same sample

    def add(self, features: Floats, label: str) -> None:
        """Add a box; of more than :data:`MOST_BOXES`, each is kept with the same probability (J. Vitter's algorithm R, 1985).

        Args:
            features: float64 [10] (:data:`~ml_backend.postprocessing.box_features.FEATURES`); NaN where they are unknown.
            label: under which it was drawn.
        """
        self.seen += 1
        packed = features.astype(np.float32).tobytes()
        if len(self.labels) < MOST_BOXES:
            self._features.append(packed)
            self.labels.append(label)
        elif (place := self._chance.randrange(self.seen)) < MOST_BOXES:
            self._features[place], self.labels[place] = packed, label

    def features(self) -> Floats:
        """Return the features of the boxes that are kept, float64 [N, 10], with the precision of float32."""
        return np.frombuffer(b"".join(self._features), np.float32).reshape(-1, len(FEATURES)).astype(np.float64)
