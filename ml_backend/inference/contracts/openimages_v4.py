"""The contract of the ``openimages_v4`` detectors of TensorFlow Hub.

The input is one RGB image, float32 [1, height, width, 3] in [0, 1], of any height and width. The outputs have N rows, best first. Many rows are
filler with scores near 0:

===========================  ==================  =================================================
``detection_boxes``          float32 [N, 4]      ymin, xmin, ymax, xmax, normalized
``detection_scores``         float32 [N]         0 to 1
``detection_class_entities`` string [N]          readable name, or MID
``detection_class_names``    string [N]          MID, or readable name
``detection_class_labels``   int64 [N]           1-based line of the Open Images class list
===========================  ==================  =================================================

The published model card swaps the two string outputs, so names and MIDs are recognised by their form and not by the output. Boxes, scores
and at least one of the three class outputs are required.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ml_backend.detections import Detections
from ml_backend.errors import ModelError
from ml_backend.inference.contracts.contract import ImageInput, Outputs, Prepared, Shape, Signature
from ml_backend.vocabularies.class_list import ModelClass
from ml_backend.vocabularies.class_names import ClassNames
from ml_backend.vocabularies.open_images import is_mid, open_images_classes

# Rows below it are filler. Thresholds are set per project, so all others are kept: a floor of 0.01 cost 0.001 of COCO AP (docs/design.md).
SCORE_FLOOR = 0.001

BOXES = "detection_boxes"
SCORES = "detection_scores"
CLASS_TEXTS = ("detection_class_entities", "detection_class_names")
CLASS_NUMBERS = "detection_class_labels"
OUTPUTS: dict[str, tuple[str, Shape]] = {
    BOXES: ("float32", (None, 4)),
    SCORES: ("float32", (None,)),
    CLASS_TEXTS[0]: ("string", (None,)),
    CLASS_TEXTS[1]: ("string", (None,)),
    CLASS_NUMBERS: ("int64", (None,)),
}
EXPECTED = f"the openimages_v4 contract (one float32 [1,H,W,3] image in; {BOXES}, {SCORES} and a class output out)"


@dataclass(frozen=True, slots=True)
class OpenImagesV4:
    """A signature of this contract.

    Attributes:
        signature: its key in the module's ``signatures``.
        input: the image input.
        outputs: names of the outputs that are read.
        classes: those of Open Images; None for a model with other classes.
    """

    signature: str
    input: ImageInput
    outputs: tuple[str, ...]
    classes: tuple[ModelClass, ...] | None = None

    def __str__(self) -> str:
        return f"signature {self.signature!r}: {self.input} -> {', '.join(self.outputs)}"

    def read(self, outputs: Outputs, width: int, height: int) -> Detections:
        """Convert the outputs of one call to detections, without rows below :data:`SCORE_FLOOR` and boxes that are not finite.

        Args:
            outputs: arrays by output name, as the signature returned them.
            width: of the displayed image, in pixels.
            height: of the displayed image, in pixels.

        Raises:
            ModelError: the shapes of the outputs differ from those of the contract.
        """
        scores = np.asarray(outputs[SCORES], dtype=np.float32)
        boxes = np.asarray(outputs[BOXES], dtype=np.float32)
        if scores.ndim != 1 or boxes.shape != (len(scores), 4):
            raise ModelError(
                f"the detector returned boxes {list(boxes.shape)} and scores {list(scores.shape)}; expected [N, 4] and [N]"
            )
        for name in self.outputs:
            if len(outputs[name]) != len(scores):
                raise ModelError(f"the detector returned {len(scores)} scores, but {len(outputs[name])} of {name}")
        kept = np.flatnonzero((scores >= SCORE_FLOOR) & np.isfinite(boxes).all(axis=1))
        classes = self.classes_of(outputs, kept)
        return Detections(
            boxes=boxes[kept],
            scores=np.minimum(scores[kept], np.float32(1)),
            class_names=tuple(name for name, _ in classes),
            class_mids=tuple(mid for _, mid in classes),
            width=width,
            height=height,
        )

    def classes_of(self, outputs: Outputs, rows: NDArray[np.intp]) -> list[tuple[str, str]]:
        """Return readable name and MID for each of ``rows``; a missing name is looked up by MID, then by class number."""
        texts = [np.asarray(outputs[name])[rows] for name in CLASS_TEXTS if name in self.outputs]
        numbers = (
            np.asarray(outputs[CLASS_NUMBERS])[rows] if CLASS_NUMBERS in self.outputs else np.zeros(len(rows), int)
        )
        return [_name_and_mid(*row) for row in zip(numbers.tolist(), *texts, strict=True)]

    def with_classes(self, outputs: Sequence[Outputs], class_names: ClassNames | None) -> Prepared[Self]:  # noqa: ARG002 - the model returns names
        """Return the contract with the Open Images classes if the outputs for an empty image have one of them.

        Filler rows have classes too.
        """
        known = open_images_classes()
        rows = np.arange(len(outputs[0][SCORES]))
        mids = {mid for _, mid in self.classes_of(outputs[0], rows)}
        has_them = bool(mids & set(known.ids)) or not len(rows)
        return Prepared(replace(self, classes=known.classes()) if has_them else self)


@functools.lru_cache(maxsize=4096)
def _name_and_mid(number: int, *encoded: bytes) -> tuple[str, str]:
    known = open_images_classes()
    texts = [text.decode("utf-8", errors="replace") for text in encoded]
    mid = next((text for text in texts if is_mid(text)), "")
    name = next((text for text in texts if text and not is_mid(text)), "") or known.name_by_id.get(mid, "")
    if not name:
        name, listed_mid = known.at(number)
        mid = mid or listed_mid
    return name or mid or f"class {number}", mid


def recognise(signature: Signature) -> OpenImagesV4 | None:
    """Return the contract if a signature keeps it, else None. Types, shapes and names of outputs decide; names of signature and input do not."""
    read = tuple(name for name in OUTPUTS if _offers(signature, name))
    if len(signature.inputs) != 1 or not {BOXES, SCORES} <= {*read} or not {*CLASS_TEXTS, CLASS_NUMBERS} & {*read}:
        return None
    ((name, image),) = signature.inputs.items()
    any_size = image.shape is not None and image.shape[1:3] == (None, None)
    return (
        OpenImagesV4(signature.name, ImageInput(name), read)
        if any_size and image.fits("float32", (1, None, None, 3))
        else None
    )


def _offers(signature: Signature, name: str) -> bool:
    return name in signature.outputs and signature.outputs[name].fits(*OUTPUTS[name])
