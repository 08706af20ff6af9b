"""The protocol of runtimes."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ml_backend.inference.contracts.contract import Contract, Outputs, Signature

Function = Callable[[NDArray[np.uint8]], Outputs]
"""Runs the model on one image: takes pixels, uint8 [H, W, 3], RGB; returns arrays by output name."""


class RunError(Exception):
    """The model failed on an image; the message is one line."""


class Runtime(Protocol):
    """A library that runs models. Functions may be called from several threads at once."""

    def signatures(self, module: Any) -> list[Signature]:
        """Return the signatures that a loaded module offers."""

    def compile(self, module: Any, contract: Contract[Any]) -> Function:
        """Return a function that calls the signature of a contract and raises :class:`RunError`."""

    def set_workers(self, workers: int) -> None:
        """Prepare for a number of concurrent calls; has to be called before a module is loaded."""
