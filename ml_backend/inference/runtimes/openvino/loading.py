"""Loads a model with OpenVINO: its conversion if there is one, else it is converted and compared with TensorFlow once."""

import contextlib
import shutil
from dataclasses import replace
from importlib.util import find_spec

import structlog

from ml_backend.errors import ModelLoadError
from ml_backend.inference.contracts.contract import Contract
from ml_backend.inference.fingerprint import fingerprint
from ml_backend.inference.hub import local_folder
from ml_backend.inference.runtimes.openvino.comparison import compare, comparison_images
from ml_backend.inference.runtimes.openvino.graph import load_graph
from ml_backend.inference.runtimes.openvino.quantization import QuantizationError, quantize
from ml_backend.inference.runtimes.openvino.store import (
    GRAPH,
    BrokenConversionError,
    ConvertedModel,
    folder_of,
    recall_folder,
    recall_refusal,
    remember_folder,
    remember_refusal,
    unfinished_folder,
)
from ml_backend.inference.runtimes.runtime import Found, Function, LoadRequest, RunError, RunningModel
from ml_backend.redaction import redact

log = structlog.get_logger(__name__)

SINCE = "TensorFlow, since "  # begins the note of a model that OpenVINO cannot run


def load(request: LoadRequest[Found]) -> RunningModel[Found]:
    """Load a model with OpenVINO.

    Raises:
        ModelLoadError: it cannot be loaded, converted, or its results differ from those of TensorFlow.
    """
    running = load_if_possible(request)
    if running.runtime != "openvino":
        raise ModelLoadError(
            f"{redact(request.handle)} cannot be run with PRELABEL_RUNTIME=openvino: {running.note.removeprefix(SINCE)}"
        )
    return running


def load_if_possible(request: LoadRequest[Found]) -> RunningModel[Found]:
    """Load a model with OpenVINO where that is possible, else with TensorFlow; the note says why.

    Raises:
        ModelLoadError: it cannot be loaded.
    """
    if find_spec("openvino") is None:  # there are no packages for some platforms
        return _with_tensorflow(request, "OpenVINO is not installed")
    folder = _folder_here(request)
    digest = "" if folder is None else fingerprint(folder)
    refusal = recall_refusal(request.cache_dir, digest)
    if refusal is not None:
        return _with_tensorflow(request, refusal)
    return _load_converted(request, folder, digest) or _convert(request)


def _with_tensorflow(
    request: LoadRequest[Found], reason: str, loaded: RunningModel[Found] | None = None
) -> RunningModel[Found]:
    """Load a model with TensorFlow, unless it is loaded already; the note has the reason."""
    from ml_backend.inference.runtimes import tensorflow

    if request.precision != "f32":
        raise ModelLoadError(
            f"{redact(request.handle)} cannot be run with PRELABEL_PRECISION={request.precision}, which only OpenVINO has: {reason}"
        )
    return replace(loaded or tensorflow.load(request), note=f"{SINCE}{reason}")


def _load_converted(request: LoadRequest[Found], folder: str | None, digest: str) -> RunningModel[Found] | None:
    """Load the conversion of a model without TensorFlow; None where there is none, or any doubt about it."""
    if folder is None:
        return None
    try:
        converted = ConvertedModel.find(request.cache_dir, digest, request.precision)
        if converted is None:
            return None
        contract = request.recognise(converted.signatures)
        request.progress("loading the converted model")
        function = load_graph(converted.graph, converted.tail, workers=request.workers, precision=request.precision)
        _check(converted, contract, function, request.precision)
    except (BrokenConversionError, RunError) as error:
        log.warning("converted model is not used; TensorFlow converts it again", cause=str(error))
        shutil.rmtree(folder_of(request.cache_dir, digest, request.precision), ignore_errors=True)
        return None
    return RunningModel("openvino", contract, function, digest, folder, note=_note(converted))


def _check(converted: ConvertedModel, contract: Contract[Found], function: Function, precision: str) -> None:
    if (contract.signature, contract.input) != (converted.signature, converted.input):
        raise BrokenConversionError("it was made for another signature")
    if precision == "f32":
        found = compare(contract, function, lambda _: converted.expected, [next(comparison_images())])
        if not found.agrees:
            raise BrokenConversionError(f"its results differ from those at its conversion: {found}")


def _folder_here(request: LoadRequest[Found]) -> str | None:
    """Return the folder of a model if it can be found without TensorFlow Hub."""
    if "://" in request.handle:
        return recall_folder(request.cache_dir, request.handle)
    try:
        return local_folder(request.handle, request.cache_dir)[0]
    except Exception:  # TensorFlow's way has the messages
        return None


def _convert(request: LoadRequest[Found]) -> RunningModel[Found]:
    """Load a model with TensorFlow, convert it, and use the conversion if both agree."""
    from ml_backend.inference.runtimes import tensorflow
    from ml_backend.inference.runtimes.openvino.conversion import ConversionError, convert

    loaded = tensorflow.load(replace(request, precision="f32"))
    request.progress("converting the model, once")
    try:
        with unfinished_folder(request.cache_dir) as folder:
            path = folder / GRAPH[0]
            tail = convert(tensorflow.graph(loaded.module, loaded.contract), loaded.contract.outputs, path)
            images = list(comparison_images())
            found = compare(loaded.contract, loaded.function, load_graph(path, tail, workers=request.workers), images)
            if not found.agrees:
                return _refused(request, f"the results of OpenVINO differ: {found}", loaded)
            if request.precision == "int8":
                request.progress("quantizing the model, once")
                quantize(path, images)
            converted = ConvertedModel(
                folder,
                loaded.fingerprint,
                tuple(tensorflow.signatures(loaded.module)),
                loaded.contract.signature,
                loaded.contract.input,
                str(found),
                loaded.function(images[0]),
                tail,
            ).complete(request.cache_dir, request.precision)
        if "://" in request.handle and "://" not in loaded.folder:
            remember_folder(request.cache_dir, request.handle, loaded.folder)
        function = load_graph(converted.graph, converted.tail, workers=request.workers, precision=request.precision)
    except ConversionError as error:
        return _refused(request, str(error), loaded)
    except (RunError, QuantizationError, OSError) as error:  # it may work another time
        return _with_tensorflow(request, str(error), loaded)
    return replace(loaded, runtime="openvino", function=function, note=_note(converted))


def _refused(request: LoadRequest[Found], reason: str, loaded: RunningModel[Found]) -> RunningModel[Found]:
    with contextlib.suppress(OSError):
        remember_refusal(request.cache_dir, loaded.fingerprint, reason)
    return _with_tensorflow(request, reason, loaded)


def _note(converted: ConvertedModel) -> str:
    share = (
        "OpenVINO" if converted.tail is None else "OpenVINO, and TensorFlow for the operations that it does not have"
    )
    return f"{share}; it agrees with TensorFlow: {converted.comparison}"
