"""Converts a model of TensorFlow to OpenVINO's format, as far as its operations can be converted."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_backend.inference.runtimes.openvino.comparison import comparison_images
from ml_backend.inference.runtimes.openvino.cut import cut
from ml_backend.inference.runtimes.openvino.frozen_graph import FreezingError, FrozenGraph, freeze
from ml_backend.inference.runtimes.openvino.graph import OUTPUT_PREFIX
from ml_backend.inference.runtimes.openvino.operations import extensions
from ml_backend.inference.runtimes.openvino.shapes import state_shape
from ml_backend.inference.runtimes.openvino.tail import Tail


class ConversionError(Exception):
    """A model cannot be converted; the message is one line."""


class UnsupportedOperationsError(ConversionError):
    """A graph has operations that OpenVINO does not have."""

    def __init__(self, operations: set[str]) -> None:
        super().__init__(f"OpenVINO does not have the operations {', '.join(sorted(operations))}")
        self.operations = operations


def convert(graph: Any, outputs: Sequence[str], path: Path) -> Tail | None:
    """Write the model of a concrete function of TensorFlow in OpenVINO's format.

    Args:
        graph: from pixels, uint8 [H, W, 3], to a dictionary of outputs.
        outputs: names of the outputs.
        path: of ``model.xml``; the weights are written beside it.

    Returns:
        The part that stays with TensorFlow; None where all of the graph was converted.

    Raises:
        ConversionError: no part of it can be converted.
        OSError: the files cannot be written.
    """
    try:
        frozen = freeze(graph)
    except FreezingError as error:
        raise ConversionError(str(error)) from None
    except Exception as error:  # TensorFlow's own, for graphs of rare forms
        raise ConversionError(f"its graph cannot be frozen: {_first_line(error)}") from error
    body, tail = FrozenGraph(frozen.graph_def, frozen.input, {name: frozen.outputs[name] for name in outputs}), None
    unsupported: set[str] = set()
    while True:
        try:
            _write(body, path)
        except UnsupportedOperationsError as error:
            if error.operations <= unsupported:  # the cut has not removed them
                raise
            unsupported |= error.operations
            parts = cut(frozen, unsupported)
            if parts is None:
                raise
            body, tail = parts
        else:
            return tail


def _write(frozen: FrozenGraph, path: Path) -> None:
    import openvino
    from openvino.frontend import FrontEndManager

    # Not openvino.convert_model, which reports its use to the makers of OpenVINO.
    frontend = FrontEndManager().load_by_framework("tf")
    for extension in extensions():
        frontend.add_extension(extension)
    # Read from a file, since strings are broken when a graph is handed over in memory (2026.4).
    source = path.with_name("frozen.pb")
    source.write_bytes(frozen.graph_def.SerializeToString())
    try:
        read = frontend.load(str(source))
        read.override_all_outputs([read.get_place_by_tensor_name(tensor) for tensor in frozen.outputs.values()])
        model = frontend.convert(read)
    except Exception as error:  # its errors have no common class
        if operations := _operations(error):
            raise UnsupportedOperationsError(operations) from None
        raise ConversionError(f"OpenVINO cannot convert its graph ({_first_line(error).rstrip(':')})") from None
    finally:
        source.unlink()
    state_shape(model, list(comparison_images()))
    made = {name: output for output in model.outputs for name in output.names}
    # Some operations on texts are left out without an error (StringJoin in 2026.4).
    if missing := [tensor for tensor in frozen.outputs.values() if tensor not in made]:
        raise UnsupportedOperationsError({frozen.operation_behind(tensor) for tensor in missing})
    for name, tensor in frozen.outputs.items():  # two outputs can be one tensor
        made[tensor].add_names({OUTPUT_PREFIX + name})
    try:
        openvino.save_model(model, path, compress_to_fp16=False)
    except RuntimeError as error:  # such as a full disk
        raise OSError(_first_line(error)) from None


def _operations(error: Exception) -> set[str]:
    """Return the types of operations that an error of the frontend names."""
    listed = re.findall(
        r"^-- (?:No conversion rule found for operations|Conversion is failed for): (.*)$", str(error), re.MULTILINE
    )
    return {name for line in listed for name in re.findall(r"\w+", line)}


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
