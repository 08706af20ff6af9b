"""A loaded detector: pixels in, detections out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ml_backend.detections import Detections
from ml_backend.errors import DetectorError, DetectorLoadError
from ml_backend.inference.contracts.contract import Contract
from ml_backend.inference.contracts.registry import recognise
from ml_backend.inference.fingerprint import fingerprint
from ml_backend.inference.hub import Progress, load_module, model_name
from ml_backend.inference.runtimes.registry import RUNTIMES
from ml_backend.inference.runtimes.runtime import Function, RunError
from ml_backend.redaction import redact
from ml_backend.vocabularies.open_images import ClassList

WARM_UP_SIZE = (480, 640)  # height and width of a common photograph


@dataclass(frozen=True)
class Detector:
    """A detector in memory. Safe to call from several threads at once.

    Attributes:
        handle: the handle that was loaded, without passwords and signatures.
        name: short name of the model.
        fingerprint: SHA-256 of the model's files, 64 hex digits.
        contract: the signature that is called.
        class_list: the classes that the detector can return; None where they are unknown.
        module: the loaded module, which keeps the variables and tables of the signature alive.
        function: calls the signature.
    """

    handle: str
    name: str
    fingerprint: str
    contract: Contract
    class_list: ClassList | None
    module: Any
    function: Function

    @classmethod
    def load(cls, handle: str, cache_dir: Path, *, workers: int, progress: Progress = lambda _: None) -> Self:
        """Load and warm up the detector of a handle; takes seconds, and a download the first time.

        Args:
            handle: of a form that :func:`ml_backend.inference.hub.load_module` accepts.
            cache_dir: folder of downloads.
            workers: expected number of concurrent calls of :meth:`run`.
            progress: called with a text at each step.

        Raises:
            DetectorLoadError: it cannot be loaded.
            DetectorContractError: it keeps no supported contract.
        """
        runtime = RUNTIMES["tensorflow"]
        runtime.set_workers(workers)
        module, folder = load_module(handle, cache_dir, progress)
        contract = recognise(runtime.signatures(module), redact(handle))
        function = runtime.compile(module, contract)
        progress("warming up")
        try:
            outputs = function(np.zeros([*WARM_UP_SIZE, 3], np.uint8))
        except RunError as error:
            raise DetectorLoadError(f"{redact(handle)} loads, but fails on an empty image: {error}") from error
        return cls(
            handle=redact(handle),
            name=model_name(handle),
            fingerprint=fingerprint(folder),
            contract=contract,
            class_list=contract.class_list(outputs),
            module=module,
            function=function,
        )

    def run(self, pixels: NDArray[np.uint8], size: tuple[int, int] | None = None) -> Detections:
        """Detect objects in one image; blocks until done.

        Args:
            pixels: uint8 [H, W, 3], RGB, in the displayed frame.
            size: width and height of the displayed image in pixels, where ``pixels`` was shrunk.

        Returns:
            All detections that the contract keeps (for openimages_v4, with a score of at least 0.001), in the displayed frame.

        Raises:
            DetectorError: the model failed on this image.
        """
        width, height = size or (pixels.shape[1], pixels.shape[0])
        try:
            outputs = self.function(pixels)
        except RunError as error:
            raise DetectorError(f"the detector failed on an image of {width} x {height} pixels: {error}") from error
        return self.contract.read(outputs, width, height)
