"""The contract of image classifiers of TensorFlow Hub, such as ``mobilenet_v2_035_128/classification``.

The input is a batch of RGB images of one size, float32 [N, height, width, 3] in [0, 1]. The one output that is read is [N, C]: logits, or
probabilities. 1001 outputs are a background and the 1000 classes of ImageNet; 1000 outputs are these classes.

The whole image is resized to the size of the input, bilinearly and without keeping its proportions. So did the training of the published
MobileNets with its random crops (``preprocess_for_train`` of ``inception_preprocessing.py`` in TF-Slim); its evaluation took the central 87.5 %
of each side (``preprocess_for_eval``), which would cut objects off. docs/choices.md compares five ways; none is measurably better.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ml_backend.classification import Classification
from ml_backend.errors import ModelContractError, ModelError
from ml_backend.inference.contracts.contract import ImageInput, Outputs, Prepared, Signature
from ml_backend.vocabularies.class_list import ModelClass
from ml_backend.vocabularies.class_names import ClassNames
from ml_backend.vocabularies.imagenet import BACKGROUND, imagenet_class, imagenet_classes

EXPECTED = (
    "the form of TensorFlow Hub (one float32 [N,H,W,3] image of fixed size in; logits or probabilities [N,C] out)"
)
SUM_TOLERANCE = 0.01  # of probabilities; those of 1001 classes in float16 miss 1 by less


@dataclass(frozen=True, slots=True)
class ImageClassification:
    """A signature of this contract.

    Attributes:
        signature: its key in the module's ``signatures``.
        input: the image input.
        output: name of the output.
        class_count: number of outputs.
        classes: by output.
        has_probabilities: whether the outputs are probabilities, so that no softmax is applied.
    """

    signature: str
    input: ImageInput
    output: str
    class_count: int
    classes: tuple[ModelClass, ...] = ()
    has_probabilities: bool = False

    def __str__(self) -> str:
        kind = "probabilities" if self.has_probabilities else "logits"
        return f"signature {self.signature!r}: {self.input} -> {self.output} [1,{self.class_count}] ({kind})"

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs that are read."""
        return (self.output,)

    def with_classes(self, outputs: Sequence[Outputs], class_names: ClassNames | None) -> Prepared[Self]:
        """Return the contract with the classes of the user's list if it fits, else with those of ImageNet.

        Outputs for all warm-up images that are not negative and have the sum 1 are probabilities.

        Raises:
            ModelContractError: neither list fits, or the outputs are not finite, or not those of one choice among several classes.
        """
        if self.class_count == 1:
            raise ModelContractError(
                "the classifier has one output: a choice among classes needs one output for each of them"
            )
        rows = [self._row(each) for each in outputs]
        if not all(np.isfinite(row).all() for row in rows):
            raise ModelContractError("the classifier returns NaN or infinity for an empty image")
        in_range = all(((row >= 0) & (row <= 1)).all() for row in rows)
        sums_to_one = all(abs(float(row.sum()) - 1) <= SUM_TOLERANCE for row in rows)
        if in_range and not sums_to_one:
            raise ModelContractError(
                "the classifier returns numbers from 0 to 1 whose sum is not 1, so they are independent scores (sigmoid) and neither logits nor "
                "probabilities of one choice: export it with a softmax, or with logits, as its output"
            )
        prepared = replace(self, has_probabilities=in_range and sums_to_one)
        named = class_names.outputs(self.class_count) if class_names else None
        if named is not None:
            return Prepared(replace(prepared, classes=tuple(map(imagenet_class, named))), uses_class_names=True)
        known = imagenet_classes()
        if self.class_count in {len(known), len(known) + 1}:
            classes = known if self.class_count == len(known) else (BACKGROUND, *known)
            return Prepared(replace(prepared, classes=classes))
        given = "" if class_names is None else f", and {class_names}"
        raise ModelContractError(
            f"the classifier has {self.class_count} outputs, so its classes are not those of ImageNet{given}: name a list of that length with "
            "PRELABEL_CLASS_NAMES"
        )

    def read(self, outputs: Outputs, width: int, height: int) -> Classification:
        """Convert the outputs of one call to probabilities.

        Args:
            outputs: arrays by output name, as the signature returned them.
            width: of the displayed image, in pixels.
            height: of the displayed image, in pixels.

        Raises:
            ModelError: the output has another shape, or is not finite.
        """
        row = self._row(outputs)
        if not np.isfinite(row).all():
            raise ModelError("the classifier returned NaN or infinity")
        return Classification(np.clip(row, 0, 1) if self.has_probabilities else _softmax(row), width, height)

    def _row(self, outputs: Outputs) -> NDArray[np.float32]:
        array = np.asarray(outputs[self.output], dtype=np.float32)
        if array.shape != (1, self.class_count):
            raise ModelError(f"the classifier returned {list(array.shape)}; expected [1, {self.class_count}]")
        row: NDArray[np.float32] = array[0]
        return row


def recognise(signature: Signature) -> ImageClassification | None:
    """Return the contract if a signature keeps it, else None. Types and shapes decide; names do not."""
    if len(signature.inputs) != 1:
        return None
    ((name, image),) = signature.inputs.items()
    if image.dtype != "float32" or image.shape is None or len(image.shape) != 4 or image.shape[0] not in {None, 1}:
        return None
    height, width = image.shape[1:3]
    if not height or not width or image.shape[3] != 3 or len(signature.outputs) != 1:
        return None
    ((output, tensor),) = signature.outputs.items()
    if tensor.dtype != "float32" or tensor.shape is None or len(tensor.shape) != 2 or not tensor.shape[1]:
        return None
    return ImageClassification(signature.name, ImageInput(name, size=(height, width)), output, tensor.shape[1])


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    weights = np.exp(logits.astype(np.float64) - logits.max())
    probabilities: NDArray[np.float32] = (weights / weights.sum()).astype(np.float32)
    return probabilities
