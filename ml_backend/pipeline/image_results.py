"""The results of the models for one image: with its version, as tasks need them, and encoded, as bulk jobs keep them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ml_backend.classification import Classification
from ml_backend.detections import Detections
from ml_backend.images.tiles import joined
from ml_backend.images.versions import ImageVersion
from ml_backend.model_results import KINDS, ModelKind, ModelResults, tiles_of
from ml_backend.pipeline.image_work import Cost


@dataclass(frozen=True, slots=True)
class InferredImage:
    """The results of the models for an image, the version of the image, and its address, where it has one."""

    results: ModelResults
    version: ImageVersion
    address: str | None


@dataclass(frozen=True, slots=True)
class ImageResult:
    """The results of the models for one image, as bulk jobs keep them.

    Attributes:
        digest: SHA-256 of the file's bytes, 64 hex digits.
        detections: encoded (:meth:`~ml_backend.detections.Detections.to_bytes`); empty if they are known by the digest, or not needed.
        perceptual_hash: of the image, 64 bits (:func:`~ml_backend.images.perceptual_hash.perceptual_hash`).
        computed: whether a model ran for this result.
        classification: encoded (:meth:`~ml_backend.classification.Classification.to_bytes`); empty as ``detections`` can be.
        tiles: detections in tiles, encoded, by the kind of results; without those that are known or not needed.
        costs: of each kind of results that was computed.
    """

    digest: str
    detections: bytes = b""
    perceptual_hash: int = 0
    computed: bool = False
    classification: bytes = b""
    tiles: Mapping[ModelKind, bytes] = field(default_factory=dict)
    costs: Mapping[ModelKind, Cost] = field(default_factory=dict, compare=False)

    @property
    def kinds(self) -> frozenset[ModelKind]:
        """The models whose results it has."""
        found: dict[ModelKind, bytes] = {
            "detector": self.detections,
            "classifier": self.classification,
            **self.tiles,
        }
        return frozenset(kind for kind, encoded in found.items() if encoded)

    def decoded(self, kinds: Collection[ModelKind]) -> ModelResults:
        """Return the results of some models."""
        found: dict[ModelKind, Any] = {kind: Detections.from_bytes(self.tiles[kind]) for kind in tiles_of(kinds)}
        if "detector" in kinds:
            found["detector"] = Detections.from_bytes(self.detections)
        if "classifier" in kinds:
            found["classifier"] = Classification.from_bytes(self.classification)
        return as_results(found)


def as_results(by_kind: Mapping[ModelKind, Any]) -> ModelResults:
    """Return the results of models by their kind as one."""
    # In one order, wherever the results come from: it decides between equal scores, and so on the ids of regions.
    views = [by_kind[kind] for kind in KINDS if kind != "classifier" and kind in by_kind]
    return ModelResults(joined(views) if views else None, by_kind.get("classifier"))
