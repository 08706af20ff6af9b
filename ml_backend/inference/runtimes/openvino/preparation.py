"""Prepares a model for OpenVINO: finds its conversion, or converts it and proves that it agrees with TensorFlow."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ml_backend.inference.contracts.contract import Contract, Signature
from ml_backend.inference.runtimes.openvino.conversion import (
    Comparison,
    ConversionError,
    compare,
    comparison_images,
    convert,
)
from ml_backend.inference.runtimes.openvino.runtime import load_graph
from ml_backend.inference.runtimes.openvino.store import ConvertedModel, unfinished_folder
from ml_backend.inference.runtimes.runtime import Function, RunError


def is_installed() -> bool:
    """Tell whether OpenVINO is installed; there are no packages of it for some platforms."""
    return find_spec("openvino") is not None


@dataclass(frozen=True)
class Source:
    """A model in TensorFlow.

    Attributes:
        fingerprint: of its files, 64 hex digits.
        signatures: of the module.
        contract: the signature to convert.
        graph: the concrete function from pixels to outputs.
        function: runs it.
    """

    fingerprint: str
    signatures: Sequence[Signature]
    contract: Contract[Any]
    graph: Any
    function: Function


def convert_and_prove(source: Source, cache_dir: Path, workers: int) -> tuple[ConvertedModel, Function]:
    """Convert a model, compare it with TensorFlow, and keep it.

    Raises:
        ConversionError: an operation cannot be converted, the results differ, or the files cannot be written.
    """
    folder = None
    try:
        folder = unfinished_folder(cache_dir)
        graph = convert(source.graph, source.contract.outputs, folder)
        function = load_graph(graph, workers=workers)
        images = comparison_images()
        found = compare(source.contract, source.function, function, images)
        if not found.agrees:
            raise ConversionError(f"its results differ from those of TensorFlow: {found}")
        converted = ConvertedModel(
            folder,
            source.fingerprint,
            tuple(source.signatures),
            source.contract.signature,
            source.contract.input,
            str(found),
            source.function(images[0]),
        )
        return converted.complete(cache_dir), function
    except (OSError, RunError) as error:
        raise ConversionError(str(error)) from None
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def check(converted: ConvertedModel, contract: Contract[Any], function: Function) -> Comparison:
    """Compare a converted model with the outputs that TensorFlow had for the first of the comparison images."""
    return compare(contract, function, lambda _: converted.expected, comparison_images()[:1])
