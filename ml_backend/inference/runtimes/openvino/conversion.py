"""Converts a model of TensorFlow to OpenVINO's format."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_backend.inference.runtimes.openvino.frozen_graph import FreezingError, freeze
from ml_backend.inference.runtimes.openvino.operations import extensions


class ConversionError(Exception):
    """A model cannot be converted; the message is one line."""


def convert(graph: Any, outputs: Sequence[str], folder: Path) -> Path:
    """Write the model of a concrete function of TensorFlow in OpenVINO's format.

    Args:
        graph: from pixels, uint8 [H, W, 3], to a dictionary of outputs.
        outputs: names of the outputs.
        folder: of the files.

    Returns:
        The path of ``model.xml``; its weights lie beside it.

    Raises:
        ConversionError: an operation cannot be converted.
        OSError: the files cannot be written.
    """
    import openvino
    from openvino.frontend import FrontEndManager

    try:
        frozen = freeze(graph)
    except FreezingError as error:
        raise ConversionError(str(error)) from None
    except Exception as error:  # TensorFlow's own, for graphs of rare forms
        raise ConversionError(f"its graph cannot be frozen: {_reason(error)}") from error
    # Read from a file, since strings are broken when a graph is handed over in memory (2026.4).
    source = folder / "frozen.pb"
    source.write_bytes(frozen.graph_def.SerializeToString())
    tensors = [frozen.outputs[name] for name in outputs]
    # Not openvino.convert_model, which reports its use to the makers of OpenVINO.
    frontend = FrontEndManager().load_by_framework("tf")
    for extension in extensions():
        frontend.add_extension(extension)
    try:
        read = frontend.load(str(source))
        read.override_all_outputs([read.get_place_by_tensor_name(tensor) for tensor in tensors])
        model = frontend.convert(read)
    except Exception as error:  # its errors have no common class
        raise ConversionError(_reason(error)) from None
    finally:
        source.unlink()
    for name, tensor in zip(outputs, tensors, strict=True):
        model.output(tensor).set_names({name})
    path = folder / "model.xml"
    try:
        openvino.save_model(model, path, compress_to_fp16=False)
    except RuntimeError as error:  # such as a full disk
        raise OSError(_reason(error)) from None
    return path


def _reason(error: Exception) -> str:
    """Return the operations that an error names, or its first line."""
    lines = [line.strip("- ") for line in str(error).splitlines() if line.strip()]
    named = [line for line in lines if line.startswith(("No conversion rule", "Conversion is failed"))]
    return "; ".join(named or lines[:1]) or type(error).__name__
