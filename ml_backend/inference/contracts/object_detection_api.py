"""The contract of the TensorFlow 2 Object Detection API, in which most detectors of users are exported.

The input is one RGB image of any height and width: uint8 [1, H, W, 3], or float32 [1, H, W, 3] with values from 0 to 255
(``exporter_lib_v2.py`` of tensorflow/models, ``DetectionFromImageModule`` and ``DetectionFromFloatImageModule``). The outputs:

===========================  ================  ===============================================================
``detection_boxes``          float32 [1, N, 4]  ymin, xmin, ymax, xmax, normalized
``detection_scores``         float32 [1, N]     0 to 1
``detection_classes``        float32 [1, N]     1-based numbers of a label map, which the model does not hold
``num_detections``           float32 [1]        number of rows; the others are filler
===========================  ================  ===============================================================

Further outputs, such as masks and keypoints, are not read. ``detection_multiclass_scores`` and ``raw_detection_scores``, [1, N, classes + 1],
have the background in front and tell the number of classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from ml_backend.detections import Detections
from ml_backend.errors import ModelContractError, ModelError
from ml_backend.inference.contracts.contract import ImageInput, Outputs, Prepared, Shape, Signature
from ml_backend.inference.contracts.openimages_v4 import SCORE_FLOOR
from ml_backend.vocabularies.class_list import ModelClass
from ml_backend.vocabularies.class_names import ClassNames
from ml_backend.vocabularies.coco import LAST_NUMBER, coco_classes
from ml_backend.vocabularies.open_images import open_images_class

BOXES = "detection_boxes"
SCORES = "detection_scores"
CLASSES = "detection_classes"
COUNT = "num_detections"
OUTPUTS: dict[str, tuple[tuple[str, ...], Shape]] = {
    BOXES: (("float32",), (1, None, 4)),
    SCORES: (("float32",), (1, None)),
    CLASSES: (("float32", "int32", "int64"), (1, None)),
    COUNT: (("float32", "int32", "int64"), (1,)),
}
SCORES_BY_CLASS = ("detection_multiclass_scores", "raw_detection_scores")
EXPECTED = f"the TensorFlow 2 Object Detection API (one uint8 or float32 [1,H,W,3] image in; {', '.join(OUTPUTS)} out)"


@dataclass(frozen=True, slots=True)
class ObjectDetectionApi:
    """A signature of this contract.

    Attributes:
        signature: its key in the module's ``signatures``.
        input: the image input.
        class_count: number of classes, without the background; None where no output tells it.
        by_number: classes by their numbers.
        outputs: names of the outputs that are read.
    """

    signature: str
    input: ImageInput
    class_count: int | None
    by_number: dict[int, ModelClass] = field(default_factory=dict)
    outputs: tuple[str, ...] = tuple(OUTPUTS)

    def __str__(self) -> str:
        return f"signature {self.signature!r}: {self.input} -> {', '.join(self.outputs)}"

    @property
    def classes(self) -> tuple[ModelClass, ...]:
        """The classes of the class list."""
        return tuple(self.by_number.values())

    def with_classes(self, outputs: Sequence[Outputs], class_names: ClassNames | None) -> Prepared[Self]:
        """Return the contract with the classes of the user's list if it has their number, else with those of COCO.

        COCO is also assumed where no output tells the number of classes and the warm-up shows none that COCO does not have.

        Raises:
            ModelContractError: neither list fits.
        """
        if class_names is not None and self.class_count in {None, max(class_names.names), len(class_names.names)}:
            by_number = {number: open_images_class(name) for number, name in class_names.names.items()}
            return Prepared(replace(self, by_number=by_number), uses_class_names=True)
        if self.class_count == LAST_NUMBER:
            return Prepared(replace(self, by_number=coco_classes()))
        given = "" if class_names is None else f"; the list in {class_names.source} has {len(class_names.names)}"
        if self.class_count is not None:
            raise ModelContractError(
                f"the detector has {self.class_count} classes and returns their numbers only{given}: name a list of that length with "
                "PRELABEL_CLASS_NAMES"
            )
        numbers = {int(number) for each in outputs for number in np.ravel(each[CLASSES]).tolist()}
        if foreign := numbers - {0} - set(coco_classes()):
            raise ModelContractError(
                f"the detector returns numbers of classes only, among them {min(foreign)}, which COCO does not have{given}: name its class list "
                "with PRELABEL_CLASS_NAMES"
            )
        note = "the detector returns numbers of classes only; they are read as those of COCO: PRELABEL_CLASS_NAMES names another list"
        return Prepared(replace(self, by_number=coco_classes()), note=note)

    def read(self, outputs: Outputs, width: int, height: int) -> Detections:
        """Convert the outputs of one call to detections, without filler, rows below the floor and boxes that are not finite.

        Args:
            outputs: arrays by output name, as the signature returned them.
            width: of the displayed image, in pixels.
            height: of the displayed image, in pixels.

        Raises:
            ModelError: the shapes of the outputs differ from those of the contract.
        """
        scores = np.asarray(outputs[SCORES], dtype=np.float32)
        boxes = np.asarray(outputs[BOXES], dtype=np.float32)
        numbers = np.asarray(outputs[CLASSES])
        if scores.ndim != 2 or len(scores) != 1 or boxes.shape != (*scores.shape, 4) or numbers.shape != scores.shape:
            raise ModelError(
                f"the detector returned boxes {list(boxes.shape)}, scores {list(scores.shape)} and classes {list(numbers.shape)}; expected "
                "[1, N, 4], [1, N] and [1, N]"
            )
        filled = np.arange(scores.shape[1]) < np.ravel(outputs[COUNT])[0]
        kept = np.flatnonzero(filled & (scores[0] >= SCORE_FLOOR) & np.isfinite(boxes[0]).all(axis=1))
        classes = [self._class(int(number)) for number in numbers[0, kept]]
        return Detections(
            boxes=boxes[0, kept],
            scores=np.minimum(scores[0, kept], np.float32(1)),
            class_names=tuple(each.name for each in classes),
            class_mids=tuple(each.id for each in classes),
            width=width,
            height=height,
        )

    def _class(self, number: int) -> ModelClass:
        return self.by_number.get(number) or ModelClass(f"class {number}", "")


def recognise(signature: Signature) -> ObjectDetectionApi | None:
    """Return the contract if a signature keeps it, else None. Types, shapes and names of outputs decide; the name of the input does not."""
    if len(signature.inputs) != 1 or not all(_offers(signature, name) for name in OUTPUTS):
        return None
    ((name, image),) = signature.inputs.items()
    if image.shape is None or image.shape[1:3] != (None, None):
        return None
    if not (image.fits("uint8", (1, None, None, 3)) or image.fits("float32", (1, None, None, 3))):
        return None
    return ObjectDetectionApi(signature.name, ImageInput(name, image.dtype, white=255), _class_count(signature))


def _offers(signature: Signature, name: str) -> bool:
    dtypes, shape = OUTPUTS[name]
    return name in signature.outputs and any(signature.outputs[name].fits(dtype, shape) for dtype in dtypes)


def _class_count(signature: Signature) -> int | None:
    for name in SCORES_BY_CLASS:
        shape = signature.outputs[name].shape if name in signature.outputs else None
        if shape is not None and len(shape) == 3 and shape[2] is not None:
            return shape[2] - 1
    return None
