"""The TensorFlow runtime, and the only import of TensorFlow and TensorFlow Hub, without their messages on standard error."""

import contextlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.errors import ModelLoadError
from ml_backend.inference.contracts.contract import Contract, ImageInput, Outputs, Signature, Tensor
from ml_backend.inference.fingerprint import fingerprint
from ml_backend.inference.hub import load_module
from ml_backend.inference.runtimes.runtime import Found, Function, LoadRequest, RunError, RunningModel
from ml_backend.redaction import redact


@contextlib.contextmanager
def stderr_closed() -> Iterator[None]:
    # On import, TensorFlow's C++ code writes about oneDNN and CUDA to file descriptor 2, before log levels apply.
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


# 3 hides the "failed call to cuInit" of machines without a GPU; failures still raise. A value that is set already stays.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TensorFlow Hub imports Keras 2 (tf-keras). Without this, TensorFlow also imports Keras 3, which is not used and takes one or two seconds.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
with stderr_closed(), warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated", category=UserWarning)
    import tensorflow as tf
    import tensorflow_hub as hub

__all__ = ["hub", "tf"]


def load(request: LoadRequest[Found]) -> RunningModel[Found]:
    """Load a model with TensorFlow Hub.

    Raises:
        ModelLoadError: it cannot be loaded.
        ModelContractError: it keeps no supported contract.
    """
    if request.precision != "f32":
        raise ModelLoadError(
            f"{redact(request.handle)} cannot be run with PRELABEL_PRECISION={request.precision}, which only OpenVINO has"
        )
    set_workers(request.workers)
    module, folder = load_module(request.handle, request.cache_dir, request.progress, request.variable)
    contract = request.recognise(signatures(module))
    return RunningModel("tensorflow", contract, compiled(graph(module, contract)), fingerprint(folder), folder, module)


def set_workers(workers: int) -> None:
    """Give each of ``workers`` concurrent runs one thread.

    Measured on 2 cores with an SSD-sized detector: 24 images/s with TensorFlow's defaults and one caller, 32 with two callers, 38 with
    one intra-op thread, two inter-op threads and two callers. TensorFlow accepts this only before its first operation; later calls have
    no effect.
    """
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(workers)


def signatures(module: Any) -> list[Signature]:
    """Return the signatures that a module offers, in its order."""
    return [
        Signature(name, _tensors(function.structured_input_signature[1]), _tensors(function.structured_outputs))
        for name, function in getattr(module, "signatures", {}).items()
    ]


def graph(module: Any, contract: Contract[Any]) -> Any:
    """Return the concrete function from pixels, uint8 [H, W, 3], to the outputs that a contract reads.

    The conversion of pixels to the input is part of the graph: TensorFlow needs a quarter of the time of NumPy (docs/benchmarks.md).
    """
    signature = module.signatures[contract.signature]

    @tf.function(input_signature=[tf.TensorSpec([None, None, 3], tf.uint8)])  # type: ignore[untyped-decorator]  # TensorFlow has no types
    def call(pixels: Any) -> Any:
        outputs = signature(**{contract.input.name: _as_input(pixels[None], contract.input)})
        return {name: outputs[name] for name in contract.outputs}

    return call.get_concrete_function()  # saves the dispatch by argument types in each call


def compiled(concrete: Any) -> Function:
    """Return a function that runs a concrete function of :func:`graph`."""

    def run(pixels: NDArray[np.uint8]) -> Outputs:
        try:
            outputs = concrete(tf.convert_to_tensor(pixels))
        except tf.errors.OpError as error:
            raise RunError(_reason(error)) from error
        return {name: np.asarray(array) for name, array in outputs.items()}

    return run


def _as_input(pixels: Any, expected: ImageInput) -> Any:
    """Convert pixels, uint8 [1, H, W, 3], to the tensor of an input."""
    # In one row: OpenVINO 2026.4 divides images of unknown size three numbers at a time, which takes 0.9 of 23 ms.
    flat = tf.cast(tf.reshape(pixels, [-1]), tf.float32) / (255 / expected.white)
    values = tf.reshape(flat, tf.shape(pixels))
    if expected.size is not None:
        values = tf.image.resize(values, expected.size, method="bilinear")
    return tf.cast(values, expected.dtype)


def _reason(error: Any) -> str:
    """Return the last line of a TensorFlow error, which has the cause."""
    return str(error.message or type(error).__name__).strip().split("\n")[-1]


def _tensors(tensors: Any) -> dict[str, Tensor]:
    if not isinstance(tensors, dict):
        return {}
    return {
        name: Tensor(tensor.dtype.name, None if tensor.shape.rank is None else tuple(tensor.shape.as_list()))
        for name, tensor in tensors.items()
    }
