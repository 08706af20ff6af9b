"""Runs converted models with OpenVINO on processors."""

import queue
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.inference.contracts.contract import Outputs
from ml_backend.inference.runtimes.openvino.tail import Tail, with_tail
from ml_backend.inference.runtimes.runtime import Function, RunError

OUTPUT_PREFIX = "prelabel/"  # of the names of outputs, which have names of tensors too


def load_graph(graph: Path, tail: Tail | None, *, workers: int, precision: str = "f32") -> Function:
    """Return a function that runs a converted model; it can be called by several threads at once.

    Args:
        graph: ``model.xml``.
        tail: the part that stays with TensorFlow; None for none.
        workers: expected number of concurrent calls.
        precision: ``f32`` or ``bf16``, of the inner computation. A quantized graph is ``int8`` by itself.

    Raises:
        RunError: OpenVINO cannot read the graph.
    """
    import openvino

    options = {
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "NUM_STREAMS": str(workers),
        "INFERENCE_NUM_THREADS": str(workers),
        "ENABLE_CPU_PINNING": "NO",  # several services can share a machine
    }
    try:
        compiled = openvino.Core().compile_model(graph, "CPU", options)
    except RuntimeError as error:
        raise RunError(_reason(error)) from None
    names = [
        (name.removeprefix(OUTPUT_PREFIX), place)
        for place, output in enumerate(compiled.outputs)
        for name in output.names
        if name.startswith(OUTPUT_PREFIX)
    ]
    requests: queue.LifoQueue[Any] = (
        queue.LifoQueue()
    )  # the one that was used last has its memory in the processor's cache
    for _ in range(workers):
        requests.put(compiled.create_infer_request())

    def run(pixels: NDArray[np.uint8]) -> Outputs:
        request = requests.get()
        try:
            request.infer([pixels], share_inputs=True)
            return {name: _output(request.get_output_tensor(place)) for name, place in names}
        except RuntimeError as error:
            raise RunError(_reason(error)) from None
        finally:
            requests.put(request)

    return run if tail is None else with_tail(run, tail)


def _output(tensor: Any) -> NDArray[Any]:
    """Return a copy of an output, since the next call overwrites it; texts as bytes."""
    import openvino

    values: NDArray[Any] = tensor.bytes_data if tensor.element_type == openvino.Type.string else np.array(tensor.data)
    return values


def _reason(error: RuntimeError) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else "OpenVINO failed"
