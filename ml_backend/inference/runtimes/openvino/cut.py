"""Cuts a graph in two where OpenVINO cannot go on: the body for OpenVINO, and the tail for TensorFlow.

The tail is everything that depends on an operation that cannot be converted. What it needs of the body crosses the cut.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from ml_backend.inference.runtimes.openvino.frozen_graph import FrozenGraph, made_for, node_of, tensor_of
from ml_backend.inference.runtimes.openvino.tail import Tail
from ml_backend.inference.runtimes.tensorflow import tf


def cut(frozen: FrozenGraph, unsupported: Collection[str]) -> tuple[FrozenGraph, Tail] | None:
    """Return both parts of a graph, the tail as small as possible; None where nothing would be left of the body.

    Args:
        frozen: the whole graph.
        unsupported: types of operations that cannot be converted.
    """
    nodes = {node.name: node for node in frozen.graph_def.node}
    readers: defaultdict[str, list[str]] = defaultdict(list)
    for node in nodes.values():
        for each in node.input:
            readers[node_of(each)].append(node.name)
    of_pixels = _reached([node_of(frozen.input)], readers)
    behind = _reached([name for name in of_pixels if nodes[name].op in unsupported], readers)
    if node_of(frozen.input) in behind:
        return None
    needed = {tensor_of(each) for name in behind for each in nodes[name].input}
    crossing = sorted(each for each in needed if node_of(each) in of_pixels - behind)
    direct = {name: tensor for name, tensor in frozen.outputs.items() if node_of(tensor) not in behind}
    if not crossing:
        return None
    ends = direct | {each: each for each in crossing}
    return FrozenGraph(made_for(frozen.graph_def, ends.values()), frozen.input, ends), _tail(
        frozen, crossing, {name: each for name, each in frozen.outputs.items() if name not in direct}
    )


def _reached(starts: Iterable[str], readers: Mapping[str, list[str]]) -> set[str]:
    """Return some nodes, and all that depend on them."""
    found: set[str] = set()
    waiting = list(starts)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += readers.get(name, [])
    return found


def _tail(frozen: FrozenGraph, crossing: list[str], outputs: Mapping[str, str]) -> Tail:
    with tf.Graph().as_default() as whole:
        tf.graph_util.import_graph_def(frozen.graph_def, name="")
    with tf.Graph().as_default() as graph:
        inputs = {}
        for number, each in enumerate(crossing):
            tensor = whole.get_tensor_by_name(each)
            inputs[each] = tf.compat.v1.placeholder(tensor.dtype, tensor.shape, name=f"crossing_{number}")
        tf.graph_util.import_graph_def(frozen.graph_def, input_map=dict(inputs), name="")
        graph_def = made_for(graph.as_graph_def(), outputs.values())
    return Tail(graph_def.SerializeToString(), {each: tensor.name for each, tensor in inputs.items()}, outputs)
