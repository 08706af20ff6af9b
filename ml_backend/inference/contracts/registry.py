"""The contracts that Prelabel knows. A new one is a module beside this one and a line in :data:`DETECTORS` or :data:`CLASSIFIERS`."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from ml_backend.classification import Classification
from ml_backend.detections import Detections
from ml_backend.errors import ModelContractError
from ml_backend.inference.contracts import image_classification, object_detection_api, openimages_v4
from ml_backend.inference.contracts.contract import Contract, Recogniser, Signature

Found = TypeVar("Found")

DETECTORS: Mapping[str, Recogniser[Detections]] = {
    openimages_v4.EXPECTED: openimages_v4.recognise,
    object_detection_api.EXPECTED: object_detection_api.recognise,
}
"""Recognisers of detectors by a description of their contract. The first contract that a signature keeps wins."""

CLASSIFIERS: Mapping[str, Recogniser[Classification]] = {
    image_classification.EXPECTED: image_classification.recognise,
}
"""Recognisers of classifiers by a description of their contract."""


def recognise(contracts: Mapping[str, Recogniser[Found]], signatures: Sequence[Signature]) -> Contract[Found] | None:
    """Return the first signature that keeps one of the contracts; ``default`` is tried first, then the others in order of their names."""
    ordered = sorted(signatures, key=lambda each: (each.name != "default", each.name))
    for recognised in contracts.values():
        for signature in ordered:
            if contract := recognised(signature):
                return contract
    return None


def recognise_detector(signatures: Sequence[Signature], handle: str) -> Contract[Detections]:
    """Return the signature of a detector.

    Args:
        signatures: of the model.
        handle: of the model, for the message only.

    Raises:
        ModelContractError: there is none; the message lists the signatures.
    """
    found = recognise(DETECTORS, signatures)
    if found is None:
        instead = "PRELABEL_CLASSIFIER" if recognise(CLASSIFIERS, signatures) else ""
        raise _refusal(handle, "detector", DETECTORS, signatures, instead)
    return found


def recognise_classifier(signatures: Sequence[Signature], handle: str) -> Contract[Classification]:
    """Return the signature of a classifier; arguments and errors as for :func:`recognise_detector`."""
    found = recognise(CLASSIFIERS, signatures)
    if found is None:
        instead = "PRELABEL_MODEL" if recognise(DETECTORS, signatures) else ""
        raise _refusal(handle, "classifier", CLASSIFIERS, signatures, instead)
    return found


def _refusal(
    handle: str, kind: str, contracts: Mapping[str, object], signatures: Sequence[Signature], instead: str
) -> ModelContractError:
    offers = "; ".join(map(str, signatures)) or "no signature at all"
    expected = ", or ".join(contracts)
    if instead:
        other = {"detector": "classifier", "classifier": "detector"}[kind]
        return ModelContractError(f"{handle} is a {other} and not a {kind}: give it as {instead}. It offers: {offers}")
    return ModelContractError(f"{handle} loads, but is not a {kind} of {expected}. It offers: {offers}")
