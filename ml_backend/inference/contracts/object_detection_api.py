"""The contract of the TensorFlow 2 Object Detection API, in which most detectors of users are exported.

The input is one RGB image of any height and width: uint8 [1, H, W, 3], or float32 [1, H, W, 3] with values from 0 to 255
(``exporter_lib_v2.py`` of tensorflow/models, ``DetectionFromImageModule`` and ``DetectionFromFloatImageModule``). The outputs:

===========================  ================  ===============================================================
``detection_boxes``          float32 [1, N, 4]  ymin, xmin, ymax, xmax, normalized
``detection_scores``         float32 [1, N]     0 to 1
``detection_classes``        float32 [1, N]     1-based numbers of a label map, which the model does not hold
``num_detections``           float32 [1]        number of rows; the others are filler
===========================  ================  ===============================================================

Further outputs, such as masks and keypoints, are not read. The shape of ``raw_detection_scores``, [1, M, classes + 1] with the background in
front, tells the number of classes. CenterNet has ``detection_multiclass_scores`` alone, [1, N, classes] (``center_net_meta_arch.py``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

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
RAW_SCORES = "raw_detection_scores"
MULTICLASS_SCORES = "detection_multiclass_scores"
EXPECTED = f"the TensorFlow 2 Object Detection API (one uint8 or float32 [1,H,W,3] image in; {', '.join(OUTPUTS)} out)"


@dataclass(frozen=True, slots=True)
class ObjectDetectionApi:
    """A signature of this contract.

    Attributes:
        signature: its key in the module's ``signatures``.
        input: the image input.
        class_counts: the possible numbers of classes, without the background; empty where no output tells it.
        by_number: classes by their numbers.
        outputs: names of the outputs that are read.
    """

    signature: str
    input: ImageInput
    class_counts: tuple[int, ...] = ()
    by_number: dict[int, ModelClass] = field(default_factory=dict)
    outputs: tuple[str, ...] = tuple(OUTPUTS)

    def __str__(self) -> str:
        return f"signature {self.signature!r}: {self.input} -> {', '.join(self.outputs)}"

    @property
    def classes(self) -> tuple[ModelClass, ...]:
        """The classes of the class list."""
        return tuple(self.by_number.values())

    def with_classes(self, outputs: Sequence[Outputs], class_names: ClassNames | None) -> Prepared[Self]:
        """Return the contract with the classes of the user's list, or without one with those of COCO.

        COCO is assumed where the number of classes is COCO's, or unknown. An unknown number is checked against the warm-up: a class that the
        list does not have must not occur.

        Raises:
            ModelContractError: the list does not fit.
        """
        counted = " or ".join(map(str, self.class_counts))
        problem = (
            f"has {counted} classes and returns their numbers only" if counted else "returns numbers of classes only"
        )
        remedy = "name its class list, numbered from 1, with PRELABEL_CLASS_NAMES"
        if class_names is not None:
            names = class_names.from_one(self.class_counts)
            if names is None:
                raise ModelContractError(f"the detector {problem}, from 1, and {class_names}: {remedy}")
            by_number = {number: open_images_class(name) for number, name in names.items()}
        elif not counted or LAST_NUMBER in self.class_counts:
            by_number = coco_classes()
        else:
            raise ModelContractError(f"the detector {problem}: {remedy}")
        prepared = Prepared(replace(self, by_number=by_number), uses_class_names=class_names is not None)
        if counted:
            return prepared
        if foreign := [number for each in outputs for number in self._foreign(each, by_number)]:
            lacking = "COCO does not have" if class_names is None else f"its list does not have; {class_names}"
            raise ModelContractError(f"the detector {problem}, among them {min(foreign)}, which {lacking}: {remedy}")
        if class_names is not None:
            return prepared
        note = f"the detector {problem}; they are read as those of COCO: PRELABEL_CLASS_NAMES names another list"
        return prepared._replace(note=note)

    def _foreign(self, outputs: Outputs, by_number: Mapping[int, ModelClass]) -> list[int]:
        """Return the class numbers of an image that a class list does not have. A gap in it may occur in rows below the floor."""
        _, scores, numbers = self._rows(outputs)
        return [
            int(number)
            for number, score in zip(numbers.tolist(), scores.tolist(), strict=True)
            if number not in by_number and (number > max(by_number) or score >= SCORE_FLOOR)
        ]

    def read(self, outputs: Outputs, width: int, height: int) -> Detections:
        """Convert the outputs of one call to detections, without filler, rows below the floor and boxes that are not finite.

        Args:
            outputs: arrays by output name, as the signature returned them.
            width: of the displayed image, in pixels.
            height: of the displayed image, in pixels.

        Raises:
            ModelError: the shapes of the outputs differ from those of the contract, or a class is no number.
        """
        boxes, scores, numbers = self._rows(outputs)
        kept = np.flatnonzero((scores >= SCORE_FLOOR) & np.isfinite(boxes).all(axis=1))
        classes = [self._class(int(number)) for number in numbers[kept]]
        return Detections(
            boxes=boxes[kept],
            scores=np.minimum(scores[kept], np.float32(1)),
            class_names=tuple(each.name for each in classes),
            class_mids=tuple(each.id for each in classes),
            width=width,
            height=height,
        )

    def _rows(self, outputs: Outputs) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[Any]]:
        """Return boxes [N, 4], scores [N] and class numbers [N] without the filler."""
        scores = np.asarray(outputs[SCORES], dtype=np.float32)
        boxes = np.asarray(outputs[BOXES], dtype=np.float32)
        numbers, counted = np.asarray(outputs[CLASSES]), np.ravel(outputs[COUNT])
        whole = scores.ndim == 2 and len(scores) == 1 and boxes.shape == (*scores.shape, 4)
        if not whole or numbers.shape != scores.shape or counted.shape != (1,):
            raise ModelError(
                f"the detector returned boxes {list(boxes.shape)}, scores {list(scores.shape)}, classes {list(numbers.shape)} and counts "
                f"{list(counted.shape)}; expected [1, N, 4], [1, N], [1, N] and [1]"
            )
        filled = np.arange(scores.shape[1]) < counted[0]
        if not np.isfinite(counted[0]) or not np.isfinite(numbers[0, filled]).all():
            raise ModelError("the detector returned NaN or infinity as a class or as the number of detections")
        return boxes[0, filled], scores[0, filled], numbers[0, filled]

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
    return ObjectDetectionApi(signature.name, ImageInput(name, image.dtype, white=255), _class_counts(signature))


def _offers(signature: Signature, name: str) -> bool:
    dtypes, shape = OUTPUTS[name]
    return name in signature.outputs and any(signature.outputs[name].fits(dtype, shape) for dtype in dtypes)


def _class_counts(signature: Signature) -> tuple[int, ...]:
    for name, smaller in (
        (RAW_SCORES, (1,)),
        (MULTICLASS_SCORES, (0, 1)),
    ):  # by the background, where it may be among them
        shape = signature.outputs[name].shape if name in signature.outputs else None
        if shape is not None and len(shape) == 3 and shape[2] is not None and shape[2] > 1:
            return tuple(shape[2] - each for each in smaller)
    return ()
