"""The part of a model that OpenVINO cannot run, and TensorFlow runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.inference.contracts.contract import Outputs
from ml_backend.inference.runtimes.runtime import Function, RunError


@dataclass(frozen=True)
class Tail:
    """The part of a graph that TensorFlow runs.

    Attributes:
        graph: serialized, with a placeholder for each tensor that crosses the cut.
        inputs: placeholders, by the name of their tensor in the body.
        outputs: names of tensors, by output name.
    """

    graph: bytes
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


def with_tail(body: Function, tail: Tail) -> Function:
    """Return a function that runs the body with OpenVINO, and the tail with TensorFlow on its outputs."""
    from ml_backend.inference.runtimes.tensorflow import tf

    graph_def = tf.compat.v1.GraphDef.FromString(tail.graph)
    placeholders = {node.name: node for node in graph_def.node if node.op == "Placeholder"}
    described = [placeholders[name.partition(":")[0]] for name in tail.inputs.values()]

    def imported(*tensors: Any) -> Any:
        crossing = dict(zip(tail.inputs.values(), tensors, strict=True))
        ends = tf.graph_util.import_graph_def(graph_def, crossing, list(tail.outputs.values()), name="")
        return dict(zip(tail.outputs, ends, strict=True))

    concrete = tf.compat.v1.wrap_function(
        imported, [tf.TensorSpec(node.attr["shape"].shape, node.attr["dtype"].type) for node in described]
    )

    def run(pixels: NDArray[np.uint8]) -> Outputs:
        outputs = dict(body(pixels))
        crossing = [tf.constant(outputs.pop(name)) for name in tail.inputs]
        try:
            return outputs | {name: np.asarray(array) for name, array in concrete(*crossing).items()}
        except tf.errors.OpError as error:
            raise RunError(str(error.message).strip().split("\n")[-1]) from error

    return run
