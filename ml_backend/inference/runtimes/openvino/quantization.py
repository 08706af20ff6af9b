"""Converts the convolutions and matrix products of a graph to 8-bit integers, with NNCF."""

import contextlib
import io
import logging
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

QUANTIZED = {"Convolution", "GroupConvolution", "MatMul"}
"""Most of the time is spent in these. Quantizing all operations, NNCF's default, costs a third of a detector's AP (docs/benchmarks.md)."""


class QuantizationError(Exception):
    """A graph cannot be quantized; the message is one line."""


def quantize(graph: Path, images: Sequence[NDArray[np.uint8]]) -> None:
    """Replace a graph by its quantized form; takes half a minute.

    Args:
        graph: ``model.xml``, with the weights beside it.
        images: whose activations give the ranges of the integers; uint8 [H, W, 3], RGB.

    Raises:
        QuantizationError: NNCF is not installed, or fails.
        OSError: the files cannot be written.
    """
    if find_spec("nncf") is None:
        raise QuantizationError("the package nncf is missing (pip install 'prelabel[int8]', or make dev in a checkout)")
    os.environ.setdefault("NNCF_CI", "1")  # without it NNCF reports its use to its makers
    import openvino

    loggers = logging.getLoggerClass()
    import nncf

    logging.setLoggerClass(loggers)  # NNCF makes its own the class of all new loggers
    logging.getLogger("nncf").setLevel(logging.ERROR)  # not nncf.set_log_level, which changes handlers of others too
    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})  # the file of the weights is written anew
    model = core.read_model(graph)
    left = sorted({operation.get_type_name() for operation in model.get_ops()} - QUANTIZED)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # progress bars
            quantized = nncf.quantize(
                model,
                nncf.Dataset(list(images)),
                subset_size=len(images),
                preset=nncf.QuantizationPreset.MIXED,  # signed activations too: not every network ends its layers with ReLU
                ignored_scope=nncf.IgnoredScope(types=left, validate=False),
            )
    except Exception as error:  # its errors have no common class
        raise QuantizationError(f"NNCF fails: {type(error).__name__}: {error}".splitlines()[0]) from error
    openvino.save_model(quantized, graph, compress_to_fp16=False)
