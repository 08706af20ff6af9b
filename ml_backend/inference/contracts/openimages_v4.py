"""Recognises a detector by its signature, and reads its outputs as detections.

The contract is that of the ``openimages_v4`` detectors of TensorFlow Hub: one input, float32 [1, height, width, 3] in [0, 1], of any
height and width; outputs of N rows, best first, of which many are filler:

===========================  ==================  =================================================
``detection_boxes``          float32 [N, 4]      ymin, xmin, ymax, xmax, normalized
``detection_scores``         float32 [N]         0 to 1
``detection_class_entities`` string [N]          readable name, or MID
``detection_class_names``    string [N]          MID, or readable name
``detection_class_labels``   int64 [N]           1-based line of the Open Images class list
===========================  ==================  =================================================

The published model card names the two string outputs the wrong way round, so names and MIDs are told apart by their form, never by
the field. Boxes and scores are required, and at least one of the three that say the class.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.detections import Detections
from ml_backend.errors import DetectorContractError, DetectorError
from ml_backend.inference.runtimes.tensorflow import tf
from ml_backend.vocabularies.open_images import is_mid, open_images_classes

# Below it is filler. Thresholds are the project's matter, so everything above is kept: a floor of 0.01 alone cost 0.001 of COCO AP.
SCORE_FLOOR = 0.001

BOXES = "detection_boxes"
SCORES = "detection_scores"
CLASS_TEXTS = ("detection_class_entities", "detection_class_names")
CLASS_NUMBERS = "detection_class_labels"
OUTPUTS: dict[str, tuple[Any, list[int | None]]] = {
    BOXES: (tf.float32, [None, 4]),
    SCORES: (tf.float32, [None]),
    CLASS_TEXTS[0]: (tf.string, [None]),
    CLASS_TEXTS[1]: (tf.string, [None]),
    CLASS_NUMBERS: (tf.int64, [None]),
}


@dataclass(frozen=True, slots=True)
class Contract:
    """Which signature to call, and with which input name.

    Attributes:
        signature: key in the module's ``signatures``.
        input: name of the image input.
        outputs: names of the outputs that are read.
    """

    signature: str
    input: str
    outputs: tuple[str, ...]

    def __str__(self) -> str:
        return f"signature {self.signature!r}: {self.input} float32 [1,H,W,3] -> {', '.join(self.outputs)}"

    def read(self, outputs: Mapping[str, Any], width: int, height: int) -> Detections:
        """Turn the outputs of one call into detections, without the rows below :data:`SCORE_FLOOR`.

        Args:
            outputs: tensors by output name, as the signature returned them.
            width: of the displayed picture, in pixels.
            height: likewise.

        Raises:
            DetectorError: the outputs have other shapes than the contract says.
        """
        scores = np.asarray(outputs[SCORES], dtype=np.float32)
        boxes = np.asarray(outputs[BOXES], dtype=np.float32)
        if scores.ndim != 1 or boxes.shape != (len(scores), 4):
            raise DetectorError(
                f"the detector returned boxes {list(boxes.shape)} and scores {list(scores.shape)}; expected [N, 4] and [N]"
            )
        for name in self.outputs:
            if len(outputs[name]) != len(scores):
                raise DetectorError(f"the detector returned {len(scores)} scores, but {len(outputs[name])} of {name}")
        kept = np.flatnonzero((scores >= SCORE_FLOOR) & np.isfinite(boxes).all(axis=1))
        classes = self.classes(outputs, kept)
        return Detections(
            boxes=boxes[kept],
            scores=np.minimum(scores[kept], np.float32(1)),
            class_names=tuple(name for name, _ in classes),
            class_mids=tuple(mid for _, mid in classes),
            width=width,
            height=height,
        )

    def classes(self, outputs: Mapping[str, Any], rows: NDArray[np.intp]) -> list[tuple[str, str]]:
        """Return (readable name, MID) for each of ``rows``; a missing name is looked up by MID, then by class number."""
        texts = [np.asarray(outputs[name])[rows] for name in CLASS_TEXTS if name in self.outputs]
        numbers = (
            np.asarray(outputs[CLASS_NUMBERS])[rows] if CLASS_NUMBERS in self.outputs else np.zeros(len(rows), int)
        )
        return [_name_and_mid(*row) for row in zip(numbers.tolist(), *texts, strict=True)]


@functools.lru_cache(maxsize=4096)
def _name_and_mid(number: int, *encoded: bytes) -> tuple[str, str]:
    known = open_images_classes()
    texts = [text.decode("utf-8", errors="replace") for text in encoded]
    mid = next((text for text in texts if is_mid(text)), "")
    name = next((text for text in texts if text and not is_mid(text)), "") or known.name_by_mid.get(mid, "")
    if not name:
        name, listed_mid = known.at(number)
        mid = mid or listed_mid
    return name or mid or f"class {number}", mid


def recognise(signatures: Mapping[str, Any], handle: str) -> Contract:
    """Find the signature that keeps the contract.

    Args:
        signatures: concrete functions by key, as ``tensorflow_hub.load(handle).signatures`` gives them.
        handle: for the message only; it decides nothing.

    Raises:
        DetectorContractError: there is none; the message lists what the module offers.
    """
    for key in sorted(signatures, key=lambda key: (key != "default", key)):
        inputs = signatures[key].structured_input_signature[1]
        outputs = signatures[key].structured_outputs
        if len(inputs) == 1 and isinstance(outputs, dict) and _keeps_contract(inputs, outputs):
            read = tuple(name for name in OUTPUTS if _offers(outputs, name))
            return Contract(signature=key, input=next(iter(inputs)), outputs=read)
    offers = "; ".join(
        f"{key}({_specs(function.structured_input_signature[1])}) -> {_specs(function.structured_outputs)}"
        for key, function in signatures.items()
    )
    raise DetectorContractError(
        f"{handle} loads, but is not a detector of the openimages_v4 contract (one float32 [1,H,W,3] image in; {BOXES}, {SCORES} "
        f"and a class output out). It offers: {offers or 'no signature at all'}"
    )


def _keeps_contract(inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> bool:
    (image,) = inputs.values()
    any_size = image.shape.rank == 4 and image.shape[1] is None and image.shape[2] is None
    takes_image = image.dtype == tf.float32 and any_size and image.shape.is_compatible_with([1, None, None, 3])
    offered = {name for name in OUTPUTS if _offers(outputs, name)}
    return takes_image and {BOXES, SCORES} <= offered and bool(offered & {*CLASS_TEXTS, CLASS_NUMBERS})


def _offers(outputs: Mapping[str, Any], name: str) -> bool:
    dtype, shape = OUTPUTS[name]
    return name in outputs and outputs[name].dtype == dtype and bool(outputs[name].shape.is_compatible_with(shape))


def _specs(tensors: Any) -> str:
    if not isinstance(tensors, dict):
        return str(tensors)
    return ", ".join(f"{name} {tensor.dtype.name} {tensor.shape}" for name, tensor in sorted(tensors.items()))
