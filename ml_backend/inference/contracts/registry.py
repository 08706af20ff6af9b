"""The contracts that Prelabel knows. A new one is a module beside this one and a line in :data:`CONTRACTS`."""

from collections.abc import Callable, Sequence

from ml_backend.errors import DetectorContractError
from ml_backend.inference.contracts import openimages_v4
from ml_backend.inference.contracts.contract import Contract, Signature

Recogniser = Callable[[Signature], Contract | None]

CONTRACTS: dict[str, Recogniser] = {
    openimages_v4.EXPECTED: openimages_v4.recognise,
}
"""Recognisers by a description of their contract. The first contract that a signature keeps wins."""


def recognise(signatures: Sequence[Signature], handle: str) -> Contract:
    """Find the signature that keeps a known contract; ``default`` is tried first, then the others in order of their names.

    Args:
        signatures: of the model.
        handle: of the model, for the message only.

    Raises:
        DetectorContractError: there is none; the message lists the signatures.
    """
    ordered = sorted(signatures, key=lambda each: (each.name != "default", each.name))
    for recognised in CONTRACTS.values():
        for signature in ordered:
            if contract := recognised(signature):
                return contract
    offers = "; ".join(map(str, signatures)) or "no signature at all"
    raise DetectorContractError(
        f"{handle} loads, but is not a detector of {', or '.join(CONTRACTS)}. It offers: {offers}"
    )
