"""``ModelResults``: the results of all models for one image."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from ml_backend.classification import Classification
from ml_backend.detections import Detections

ModelKind = Literal["detector", "classifier", "tiles2", "tiles3", "tiles4"]
"""A kind of results: of the detector, of the classifier, or of the detector in tiles, up to so many along each side."""

KINDS: tuple[ModelKind, ...] = get_args(ModelKind)
"""All kinds of results, in the order in which they are described and joined."""

TILES: dict[int, ModelKind] = {2: "tiles2", 3: "tiles3", 4: "tiles4"}
"""The kind of results by the largest number of tiles along each side."""

TILING = 1  # the version of where tiles lie and of what is kept of them: part of cache keys and model versions


@dataclass(frozen=True, slots=True)
class ModelResults:
    """The results of the models that were asked for, at least one.

    Attributes:
        detections: of the detector, in the whole image and in all tiles that were asked for.
        classification: of the classifier.
    """

    detections: Detections | None = None
    classification: Classification | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the displayed image, in pixels."""
        result = self.classification if self.detections is None else self.detections
        if result is None:
            raise ValueError("no model was asked for")
        return result.width, result.height

    @property
    def boxes(self) -> Detections:
        """The detections in the whole image, where they were asked for."""
        return self.boxes_in(())

    def boxes_in(self, kinds: Collection[ModelKind]) -> Detections:
        """Return the detections in the whole image, and those in its tiles of some kinds."""
        if self.detections is None:
            raise ValueError("the detector was not asked for")
        return self.detections.seen_in(kinds)

    @property
    def probabilities(self) -> Classification:
        """The classification, where it was asked for."""
        if self.classification is None:
            raise ValueError("the classifier was not asked for")
        return self.classification


def tiles_of(kinds: Iterable[ModelKind]) -> dict[ModelKind, int]:
    """Return the kinds among some that are of tiles, with the largest number of tiles along each side."""
    number = {kind: most for most, kind in TILES.items()}
    return {kind: number[kind] for kind in sorted(kinds) if kind in number}


def described(kind: ModelKind) -> str:
    """Return a kind of results in words, such as ``the detector in up to 2 x 2 tiles``."""
    most = tiles_of([kind]).get(kind)
    return f"the {kind}" if most is None else f"the detector in up to {most} x {most} tiles"
