"""A loaded detector: pixels in, detections out."""

from collections.abc import Sequence
from dataclasses import dataclass

from typing_extensions import override

from ml_backend.detections import Detections
from ml_backend.inference.contracts.contract import Contract, Signature
from ml_backend.inference.contracts.registry import recognise_detector
from ml_backend.inference.loaded_model import LoadedModel


@dataclass(frozen=True)
class Detector(LoadedModel[Detections]):
    """A detector. Its detections are all that the contract keeps (a score of at least 0.001), in the displayed frame."""

    kind = "detector"
    variable = "PRELABEL_MODEL"

    @classmethod
    @override
    def recognise(cls, signatures: Sequence[Signature], handle: str) -> Contract[Detections]:
        return recognise_detector(signatures, handle)
