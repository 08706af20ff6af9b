"""Loads a model with OpenVINO: its conversion if there is one, else it is converted and compared with TensorFlow once."""

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
from ml_backend.inference.runtimes.openvino.store import (
    BrokenConversionError,
    ConvertedModel,
    folder_of,
    recall_folder,
    remember_folder,
    unfinished_folder,
)
from ml_backend.inference.runtimes.runtime import Found, Function, LoadRequest, RunError, RunningModel
from ml_backend.redaction import redact

log = structlog.get_logger(__name__)


def load(request: LoadRequest[Found]) -> RunningModel[Found]:
    """Load a model with OpenVINO.

    Raises:
        ModelLoadError: it cannot be loaded, converted, or its results differ from those of TensorFlow.
    """
    running = load_if_possible(request)
    if running.runtime != "openvino":
        raise ModelLoadError(f"{redact(request.handle)} cannot be run with PRELABEL_RUNTIME=openvino: {running.note}")
    return running


def load_if_possible(request: LoadRequest[Found]) -> RunningModel[Found]:
    """Load a model with OpenVINO where that is possible, else with TensorFlow; the note says why.

    Raises:
        ModelLoadError: it cannot be loaded.
    """
    if find_spec("openvino") is None:  # there are no packages for some platforms
        from ml_backend.inference.runtimes import tensorflow

        return _with_tensorflow(request, tensorflow.load(request), "OpenVINO is not installed")
    return _load_converted(request) or _convert(request)


def _with_tensorflow(request: LoadRequest[Found], loaded: RunningModel[Found], reason: str) -> RunningModel[Found]:
    if request.precision != "f32":
        raise ModelLoadError(
            f"{redact(request.handle)} cannot be run with PRELABEL_PRECISION={request.precision}, which only OpenVINO has: {reason}"
        )
    return replace(loaded, note=f"TensorFlow, since {reason}")


def _load_converted(request: LoadRequest[Found]) -> RunningModel[Found] | None:
    """Load the conversion of a model without TensorFlow; None where there is none, or any doubt about it."""
    digest = ""
    try:
        folder = _folder_here(request)
        if folder is None:
            return None
        digest = fingerprint(folder)
        converted = ConvertedModel.find(request.cache_dir, digest)
        if converted is None:
            return None
        contract = request.recognise(converted.signatures)
        request.progress("loading the converted model")
        function = load_graph(converted.graph, workers=request.workers, precision=request.precision)
        _check(converted, contract, function, request.precision)
    except (BrokenConversionError, RunError) as error:
        log.warning("converted model is not used; TensorFlow converts it again", cause=str(error))
        shutil.rmtree(folder_of(request.cache_dir, digest), ignore_errors=True)
        return None
    return RunningModel("openvino", contract, function, digest, folder, note=_note(converted))


def _check(converted: ConvertedModel, contract: Contract[Found], function: Function, precision: str) -> None:
    if (contract.signature, contract.input) != (converted.signature, converted.input):
        raise BrokenConversionError("it was made for another signature")
    if precision == "f32":
        found = compare(contract, function, lambda _: converted.expected, comparison_images()[:1])
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
    contract = loaded.contract
    request.progress("converting the model, once")
    images = comparison_images()
    try:
        with unfinished_folder(request.cache_dir) as folder:
            graph = convert(tensorflow.graph(loaded.module, contract), contract.outputs, folder)
            found = compare(contract, loaded.function, load_graph(graph, workers=request.workers), images)
            if not found.agrees:
                return _with_tensorflow(request, loaded, f"OpenVINO's results differ: {found}")
            converted = ConvertedModel(
                folder,
                loaded.fingerprint,
                tuple(tensorflow.signatures(loaded.module)),
                contract.signature,
                contract.input,
                str(found),
                loaded.function(images[0]),
            ).complete(request.cache_dir)
        if "://" in request.handle and "://" not in loaded.folder:
            remember_folder(request.cache_dir, request.handle, loaded.folder)
        function = load_graph(converted.graph, workers=request.workers, precision=request.precision)
    except (ConversionError, RunError, OSError) as error:
        return _with_tensorflow(request, loaded, str(error))
    return replace(loaded, runtime="openvino", function=function, note=_note(converted))


def _note(converted: ConvertedModel) -> str:
    return f"OpenVINO, which agrees with TensorFlow: {converted.comparison}"
