"""A loaded detector: pixels in, detections out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ml_backend.detections import Detections
from ml_backend.detector.contract import Contract, recognise
from ml_backend.detector.fingerprint import fingerprint
from ml_backend.detector.hub import Progress, load_module, model_name
from ml_backend.detector.tensorflow_runtime import set_threads, tf
from ml_backend.errors import DetectorError, DetectorLoadError
from ml_backend.open_images import ClassList, open_images_classes
from ml_backend.redaction import redact

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
        signature: the concrete function that is called.
    """

    handle: str
    name: str
    fingerprint: str
    contract: Contract
    class_list: ClassList | None
    module: Any
    signature: Any

    @classmethod
    def load(cls, handle: str, cache_dir: Path, *, workers: int, progress: Progress = lambda _: None) -> Self:
        """Load and warm up the detector behind ``handle``; takes seconds, and a download the first time.

        Args:
            handle: ``demo``, or whatever :func:`ml_backend.detector.hub.load_module` takes.
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
        signature = signatures[contract.signature]
        progress("warming up")
        try:
            outputs = signature(**{contract.input: tf.zeros([1, *WARM_UP_SIZE, 3], tf.float32)})
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
            signature=signature,
        )

    def run(self, pixels: NDArray[np.uint8]) -> Detections:
        """Detect in one picture; blocks until done.

        Args:
            pixels: uint8 [height, width, 3], RGB, in the displayed frame.

        Returns:
            All detections with a score of at least 0.001, best first, in the displayed frame.

        Raises:
            DetectorError: the model failed on this picture.
        """
        height, width, _ = pixels.shape
        image = tf.convert_to_tensor(np.divide(pixels[None], np.float32(255), dtype=np.float32))
        try:
            outputs = self.signature(**{self.contract.input: image})
        except tf.errors.OpError as error:
            raise DetectorError(
                f"the detector failed on a picture of {width} x {height} pixels: {_reason(error)}"
            ) from error
        return self.contract.read(outputs, width, height)


def _reason(error: Any) -> str:
    return (error.message or type(error).__name__).strip().split("\n")[-1]


def _class_list(contract: Contract, outputs: Any) -> ClassList | None:
    # Even the filler rows of an empty picture carry classes; one that the Open Images list knows tells the vocabulary.
    known = open_images_classes()
    rows = np.arange(len(outputs["detection_scores"]))
    mids = {mid for _, mid in contract.classes(outputs, rows)}
    return known if mids & set(known.mids) or not len(rows) else None
