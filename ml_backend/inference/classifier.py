"""A loaded classifier: pixels in, probabilities of its classes out."""

from collections.abc import Sequence
from dataclasses import dataclass

from typing_extensions import override

from ml_backend.classification import Classification
from ml_backend.inference.contracts.contract import Contract, Signature
from ml_backend.inference.contracts.registry import recognise_classifier
from ml_backend.inference.loaded_model import LoadedModel


@dataclass(frozen=True)
class Classifier(LoadedModel[Classification]):
    """A classifier of whole images."""

    kind = "classifier"
    variable = "PRELABEL_CLASSIFIER"

    @classmethod
    @override
    def recognise(cls, signatures: Sequence[Signature], handle: str) -> Contract[Classification]:
        return recognise_classifier(signatures, handle)
