"""The runtimes by their names. A new one is a module beside this one and a line in :data:`RUNTIMES`.

Their libraries are imported when a model is loaded: TensorFlow takes seconds and half a gigabyte.
"""

from collections.abc import Mapping
from typing import Any

from ml_backend.inference.runtimes.runtime import LoadRequest, RunningModel, Runtime


def _tensorflow(request: LoadRequest[Any]) -> RunningModel[Any]:
    from ml_backend.inference.runtimes.tensorflow import load

    return load(request)


def _openvino(request: LoadRequest[Any]) -> RunningModel[Any]:
    from ml_backend.inference.runtimes.openvino.loading import load

    return load(request)


def _auto(request: LoadRequest[Any]) -> RunningModel[Any]:
    from ml_backend.inference.runtimes.openvino.loading import load_if_possible

    return load_if_possible(request)


RUNTIMES: Mapping[str, Runtime[Any]] = {
    "auto": _auto,
    "tensorflow": _tensorflow,
    "openvino": _openvino,
}
"""``auto`` is OpenVINO where it can run the model and agrees with TensorFlow."""
