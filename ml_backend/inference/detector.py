"""A loaded detector: pixels in, detections out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ml_backend.detections import Detections
from ml_backend.errors import DetectorError, DetectorLoadError
from ml_backend.inference.contracts.openimages_v4 import Contract, recognise
from ml_backend.inference.fingerprint import fingerprint
from ml_backend.inference.hub import Progress, load_module, model_name
from ml_backend.inference.runtimes.tensorflow import set_threads, tf
from ml_backend.redaction import redact
from ml_backend.vocabularies.open_images import ClassList, open_images_classes

WARM_UP_SIZE = (480, 640)  # height and width of a common photograph


@dataclass(frozen=True)
class Detector:
    """A detector in memory. Safe to call from several threads at once.

    Attributes:
        handle: what was asked for, without passwords and signatures.
        name: short name of the model.
        fingerprint: SHA-256 of the model's files, 64 hex digits.
        contract: the signature that is called.
        class_list: the classes that the detector can return, or None where it has classes of its own that no list tells.
        module: the loaded module; it keeps alive the variables and tables that the signature reads.
        function: calls the signature: uint8 [H, W, 3] in, tensors by output name out.
    """

    handle: str
    name: str
    fingerprint: str
    contract: Contract
    class_list: ClassList | None
    module: Any
    function: Any

    @classmethod
    def load(cls, handle: str, cache_dir: Path, *, workers: int, progress: Progress = lambda _: None) -> Self:
        """Load and warm up the detector behind ``handle``; takes seconds, and a download the first time.

        Args:
            handle: ``demo``, or whatever :func:`ml_backend.inference.hub.load_module` takes.
            cache_dir: where downloads stay.
            workers: how many calls of :meth:`run` are meant to go on at once.
            progress: is told what is being waited for.

        Raises:
            DetectorLoadError: it cannot be loaded.
            DetectorContractError: it is not a detector of the supported contract.
        """
        set_threads(workers)
        module, folder = load_module(handle, cache_dir, progress)
        signatures = dict(getattr(module, "signatures", {}))
        contract = recognise(signatures, redact(handle))
        function = _of_pixels(signatures[contract.signature], contract.input)
        progress("warming up")
        try:
            outputs = function(tf.zeros([*WARM_UP_SIZE, 3], tf.uint8))
        except tf.errors.OpError as error:
            raise DetectorLoadError(
                f"{redact(handle)} loads, but fails on an empty picture: {_reason(error)}"
            ) from error
        return cls(
            handle=redact(handle),
            name=model_name(handle),
            fingerprint=fingerprint(folder),
            contract=contract,
            class_list=_class_list(contract, outputs),
            module=module,
            function=function,
        )

    def run(self, pixels: NDArray[np.uint8], size: tuple[int, int] | None = None) -> Detections:
        """Detect in one picture; blocks until done.

        Args:
            pixels: uint8 [H, W, 3], RGB, in the displayed frame.
            size: width and height of the displayed picture, in pixels, where ``pixels`` has fewer of them.

        Returns:
            All detections with a score of at least 0.001, best first, in the displayed frame.

        Raises:
            DetectorError: the model failed on this picture.
        """
        width, height = size or (pixels.shape[1], pixels.shape[0])
        try:
            outputs = self.function(tf.convert_to_tensor(pixels))
        except tf.errors.OpError as error:
            raise DetectorError(
                f"the detector failed on a picture of {width} x {height} pixels: {_reason(error)}"
            ) from error
        return self.contract.read(outputs, width, height)


def _of_pixels(signature: Any, name: str) -> Any:
    # TensorFlow makes floating-point numbers of a picture in a fifth of the time that NumPy takes for it.
    @tf.function(input_signature=[tf.TensorSpec([None, None, 3], tf.uint8)])  # type: ignore[untyped-decorator]  # TensorFlow has no types
    def run(pixels: Any) -> Any:
        return signature(**{name: tf.cast(pixels[None], tf.float32) / 255})

    return run.get_concrete_function()  # one that need not look for itself by its arguments each time


def _reason(error: Any) -> str:
    return (error.message or type(error).__name__).strip().split("\n")[-1]


def _class_list(contract: Contract, outputs: Any) -> ClassList | None:
    # Even the filler rows of an empty picture carry classes; one that the Open Images list knows tells the vocabulary.
    known = open_images_classes()
    rows = np.arange(len(outputs["detection_scores"]))
    mids = {mid for _, mid in contract.classes(outputs, rows)}
    return known if mids & set(known.mids) or not len(rows) else None
