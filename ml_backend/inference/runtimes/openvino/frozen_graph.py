"""A signature as one flat TensorFlow graph with constants in place of variables, functions and tables.

``convert_variables_to_constants_v2`` of TensorFlow leaves calls of functions with hash tables, which the modules of TensorFlow Hub's first
format have.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ml_backend.inference.runtimes.tensorflow import tf

CALLS = {"PartitionedCall", "StatefulPartitionedCall"}
MAX_TABLE = 1_000_000  # keys of a table, from the smallest to the largest


class FreezingError(Exception):
    """A graph cannot be frozen; the message is one line."""


@dataclass(frozen=True)
class FrozenGraph:
    """A flat graph.

    Attributes:
        graph_def: of TensorFlow.
        input: name of the tensor of pixels.
        outputs: names of tensors, by output name.
    """

    graph_def: Any
    input: str
    outputs: Mapping[str, str]

    def operation_behind(self, tensor: str) -> str:
        """Return the type of the operation that makes a tensor."""
        return str(_source({node.name: node for node in self.graph_def.node}, tensor).op)


def freeze(function: Any) -> FrozenGraph:
    """Freeze a concrete function of one input, whose outputs are a dictionary.

    Raises:
        FreezingError: it has a table that cannot be read.
    """
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    frozen = convert_variables_to_constants_v2(function)
    pixels, *_ = frozen.inputs  # the others are tables
    resources = {inner.op.name: outer for outer, inner in function.graph.captures}
    outputs = dict(zip(sorted(function.structured_outputs), (each.name for each in frozen.outputs), strict=True))
    graph_def = frozen.graph.as_graph_def()
    while any(node.op in CALLS for node in graph_def.node):
        graph_def = _inlined(graph_def)
    graph_def = _without_tables(graph_def, resources)
    return FrozenGraph(made_for(graph_def, outputs.values()), pixels.name, outputs)


def made_for(graph_def: Any, tensors: Iterable[str]) -> Any:
    """Return the part of a flat graph that some tensors are made by."""
    nodes = {node.name: node for node in graph_def.node}
    needed: set[str] = set()
    waiting = [node_of(tensor) for tensor in tensors]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += map(node_of, nodes[name].input)
    part = type(graph_def)()
    part.versions.CopyFrom(graph_def.versions)
    part.library.CopyFrom(graph_def.library)
    part.node.extend(node for node in graph_def.node if node.name in needed)
    return part


def _inlined(graph_def: Any) -> Any:
    """Return a graph with the bodies of its called functions in place of the calls."""
    functions = {each.signature.name: each for each in graph_def.library.function}
    flat = type(graph_def)()
    flat.versions.CopyFrom(graph_def.versions)
    flat.library.CopyFrom(graph_def.library)
    renamed: dict[str, str] = {}  # results of calls, by their tensor name
    for node in graph_def.node:
        if node.op not in CALLS:
            flat.node.add().CopyFrom(node)
            continue
        body, results = _body(functions[node.attr["f"].func.name], node)
        flat.node.extend(body)
        renamed |= {f"{node.name}:{number}": result for number, result in enumerate(results)}
    for node in flat.node:
        _set_inputs(node, [renamed.get(tensor_of(each), each) for each in _data_inputs(node)])
    return flat


def _body(function: Any, call: Any) -> tuple[list[Any], list[str]]:
    """Return the nodes of a called function, and the tensors that it returns."""
    from tensorflow.python.framework.function_def_to_graph import function_def_to_graph_def

    graph_def, flat_name = function_def_to_graph_def(function)
    arguments = dict(zip((each.name for each in function.signature.input_arg), call.input, strict=False))
    nodes = []
    for node in graph_def.node:
        if node.name in arguments:
            continue
        _set_inputs(node, [arguments.get(node_of(each), f"{call.name}/{each}") for each in _data_inputs(node)])
        node.name = f"{call.name}/{node.name}"
        nodes.append(node)
    returned = [flat_name[function.ret[each.name]] for each in function.signature.output_arg]
    results = [arguments.get(node_of(each), f"{call.name}/{each}") for each in returned]
    return nodes, results


def _without_tables(graph_def: Any, resources: Mapping[str, Any]) -> Any:
    """Return a graph with a vector of values in place of each hash table, read out of its resource.

    Args:
        graph_def: flat.
        resources: handles of tables, by the name of their placeholder.
    """
    nodes = {node.name: node for node in graph_def.node}
    flat = type(graph_def)()
    flat.versions.CopyFrom(graph_def.versions)
    for node in graph_def.node:
        if node.op == "LookupTableFindV2":
            table = _source(nodes, node.input[0])
            flat.node.extend(_lookup(node, *_content(node, table, resources.get(table.name))))
        elif node.op not in {"HashTableV2", "NoOp"}:
            flat.node.add().CopyFrom(node)
    for node in flat.node:
        _set_inputs(node, _data_inputs(node))
    return flat


def _source(nodes: Mapping[str, Any], tensor: str) -> Any:
    node = nodes[node_of(tensor)]
    return _source(nodes, node.input[0]) if node.op == "Identity" else node


def _content(lookup: Any, table: Any, handle: Any) -> tuple[Any, Any]:
    """Return the keys and values of a table by its node, or by its handle."""
    keys, values = (tf.dtypes.as_dtype(lookup.attr[name].type) for name in ("Tin", "Tout"))
    if not keys.is_integer:
        raise FreezingError(f"the table {table.name} has keys of {keys.name}")
    if handle is None:
        handle = tf.raw_ops.HashTableV2(
            key_dtype=keys,
            value_dtype=values,
            shared_name=table.attr["shared_name"].s.decode(),
            container=table.attr["container"].s.decode(),
        )
    try:
        found = tf.raw_ops.LookupTableExportV2(table_handle=handle, Tkeys=keys, Tvalues=values)
    except tf.errors.OpError as error:
        raise FreezingError(f"the table {table.name} cannot be read: {error.message}") from None
    return found.keys.numpy(), found.values.numpy()


def _lookup(node: Any, keys: Any, values: Any) -> Iterator[Any]:
    """Yield the nodes of a lookup by number: a vector of the values from the smallest to the largest key, between two defaults."""
    if not len(keys) or keys.max() - keys.min() > MAX_TABLE:
        raise FreezingError(f"the table of {node.name} has {len(keys)} keys, too far apart for a vector")
    low = int(keys.min())
    vector = np.full(int(keys.max()) - low + 3, b"", object)
    vector[keys - low + 1] = values
    with tf.Graph().as_default() as graph:
        key = tf.compat.v1.placeholder(tf.dtypes.as_dtype(node.attr["Tin"].type), name="key")
        place = tf.clip_by_value(key - low + 1, 0, len(vector) - 1)
        tf.identity(tf.gather(tf.constant(vector), place), name="value")
    for each in graph.as_graph_def().node:
        if each.name == "key":
            continue
        _set_inputs(each, [node.input[1] if name == "key" else f"{node.name}/{name}" for name in each.input])
        each.name = node.name if each.name == "value" else f"{node.name}/{each.name}"
        yield each


def _data_inputs(node: Any) -> list[str]:
    """Return the inputs of a node without those that only order its run."""
    return [each for each in node.input if not each.startswith("^")]


def _set_inputs(node: Any, inputs: list[str]) -> None:
    del node.input[:]
    node.input.extend(inputs)


def tensor_of(name: str) -> str:
    """Return the full name of a tensor, whose number can be left out where it is 0."""
    return name if ":" in name else f"{name}:0"


def node_of(tensor: str) -> str:
    """Return the name of the node that makes a tensor."""
    return tensor.partition(":")[0]
