"""TensorFlow and TensorFlow Hub, imported in one place: quietly, and with the threading that measurements favour."""

import contextlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.inference.contracts.contract import Contract, Outputs, Signature, Tensor
from ml_backend.inference.runtimes.runtime import Function, RunError


@contextlib.contextmanager
def stderr_closed() -> Iterator[None]:
    # On import, TensorFlow's C++ side writes notes on oneDNN and CUDA straight to file descriptor 2, before any log level applies.
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


# 3 leaves out the "failed call to cuInit" of every machine without a GPU; failures still raise. An own value is respected.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TensorFlow Hub imports Keras 2 (tf-keras); without this TensorFlow imports Keras 3 as well, a second or two for what nobody uses.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
with stderr_closed(), warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated", category=UserWarning)
    import tensorflow as tf
    import tensorflow_hub as hub

__all__ = ["TensorFlow", "hub", "tf"]


class TensorFlow:
    """Runs modules that TensorFlow Hub has loaded."""

    def set_workers(self, workers: int) -> None:
        """Give each of ``workers`` concurrent runs one thread: few threads per run, several runs side by side.

        Measured on 2 cores with an SSD-sized detector: TensorFlow's defaults with one caller 24 images/s, with two callers 32; intra-op 1
        and inter-op 2 with two callers 38. TensorFlow takes this only before its first operation; later calls change nothing.
        """
        with contextlib.suppress(RuntimeError):
            tf.config.threading.set_intra_op_parallelism_threads(1)
            tf.config.threading.set_inter_op_parallelism_threads(workers)

    def signatures(self, module: Any) -> list[Signature]:
        """Return the signatures that a module offers, in its order."""
        return [
            Signature(name, _tensors(function.structured_input_signature[1]), _tensors(function.structured_outputs))
            for name, function in getattr(module, "signatures", {}).items()
        ]

    def compile(self, module: Any, contract: Contract) -> Function:
        """Return a function that calls the signature of a contract.

        TensorFlow makes floating-point numbers of an image in a fifth of the time that NumPy takes for it, so that is part of the graph.
        """
        signature = module.signatures[contract.signature]

        @tf.function(input_signature=[tf.TensorSpec([None, None, 3], tf.uint8)])  # type: ignore[untyped-decorator]  # TensorFlow has no types
        def call(pixels: Any) -> Any:
            return signature(**{contract.input: tf.cast(pixels[None], tf.float32) / 255})

        concrete = call.get_concrete_function()  # it need not find itself by its arguments each time

        def run(pixels: NDArray[np.uint8]) -> Outputs:
            try:
                outputs = concrete(tf.convert_to_tensor(pixels))
            except tf.errors.OpError as error:
                raise RunError(_reason(error)) from error
            return {name: np.asarray(outputs[name]) for name in contract.outputs}

        return run


def _reason(error: Any) -> str:
    """Return the last line of an error of TensorFlow, which gives the cause."""
    return str(error.message or type(error).__name__).strip().split("\n")[-1]


def _tensors(tensors: Any) -> dict[str, Tensor]:
    if not isinstance(tensors, dict):
        return {}
    return {
        name: Tensor(tensor.dtype.name, None if tensor.shape.rank is None else tuple(tensor.shape.as_list()))
        for name, tensor in tensors.items()
    }
