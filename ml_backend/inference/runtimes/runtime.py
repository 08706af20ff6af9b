"""What runtimes take and give."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ml_backend.inference.contracts.contract import Contract, Outputs, Signature

Found = TypeVar("Found")

Function = Callable[[NDArray[np.uint8]], Outputs]
"""Runs the model on one image: takes pixels, uint8 [H, W, 3], RGB; returns arrays by output name. Raises :class:`RunError`."""


class RunError(Exception):
    """The model failed on an image; the message is one line."""


@dataclass(frozen=True)
class LoadRequest(Generic[Found]):
    """A model to load.

    Attributes:
        handle: of a form that :func:`ml_backend.inference.hub.load_module` accepts.
        variable: the setting that names the handle, for messages.
        cache_dir: folder of downloads and converted models.
        workers: expected number of concurrent calls.
        precision: ``f32``, ``bf16`` or ``int8``, of the inner computation.
        recognise: returns the signature of the model's contract, or raises :class:`ModelContractError`.
        progress: called with a text at each step.
    """

    handle: str
    variable: str
    cache_dir: Path
    workers: int
    precision: str
    recognise: Callable[[Sequence[Signature]], Contract[Found]]
    progress: Callable[[str], None]


@dataclass(frozen=True)
class RunningModel(Generic[Found]):
    """A model that a runtime has loaded.

    Attributes:
        runtime: name of the runtime.
        contract: the signature that is called; it does not know its classes yet.
        function: calls it; it can be called by several threads at once.
        fingerprint: SHA-256 of the model's files, 64 hex digits.
        folder: with the model's files; empty where it is not known.
        module: the module of TensorFlow, which keeps variables and tables alive; None where TensorFlow was not needed.
        note: a sentence on the choice of the runtime, for people.
    """

    runtime: str
    contract: Contract[Found]
    function: Function
    fingerprint: str
    folder: str = ""
    module: Any = None
    note: str = ""


Runtime = Callable[[LoadRequest[Found]], RunningModel[Found]]
"""Loads a model; raises :class:`ModelLoadError`."""
