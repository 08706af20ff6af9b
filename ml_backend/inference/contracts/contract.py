"""The description of a signature, and the protocol of contracts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar

from numpy.typing import NDArray

from ml_backend.vocabularies.class_list import ModelClass
from ml_backend.vocabularies.class_names import ClassNames

Found_co = TypeVar("Found_co", covariant=True)
Shape = Sequence[int | None]  # None for a size that is known only when the model runs
Outputs = Mapping[str, NDArray[Any]]


class Tensor(NamedTuple):
    """Type and shape of an input or output.

    Attributes:
        dtype: name of the type in NumPy, or ``string``.
        shape: its sizes; None where its rank is unknown.
    """

    dtype: str
    shape: tuple[int | None, ...] | None

    def fits(self, dtype: str, shape: Shape) -> bool:
        """Tell whether a tensor of this description can have the given type and shape."""
        if self.dtype != dtype:
            return False
        return self.shape is None or (
            len(self.shape) == len(shape)
            and all(one is None or other is None or one == other for one, other in zip(self.shape, shape, strict=True))
        )

    def __str__(self) -> str:
        return f"{self.dtype} {'<unknown>' if self.shape is None else self.shape}"


@dataclass(frozen=True, slots=True)
class Signature:
    """A callable function of a model, independent of the runtime.

    Attributes:
        name: its key in the model.
        inputs: by name.
        outputs: by name.
    """

    name: str
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]

    def __str__(self) -> str:
        return f"{self.name}({_listed(self.inputs)}) -> {_listed(self.outputs)}"


class ImageInput(NamedTuple):
    """The image input of a signature, and the way from pixels to its tensor, [1, H, W, 3].

    Attributes:
        name: of the input.
        dtype: ``float32`` or ``uint8``.
        white: the value of a white pixel: 1 or 255.
        size: height and width that the image is resized to, bilinearly and without keeping its proportions; None for any size.
    """

    name: str
    dtype: str = "float32"
    white: int = 1
    size: tuple[int, int] | None = None

    def __str__(self) -> str:
        height, width = self.size or ("H", "W")
        return f"{self.name} {self.dtype} [1,{height},{width},3]"


class Contract(Protocol[Found_co]):
    """A signature with known inputs and outputs. ``str()`` describes it in one line."""

    @property
    def signature(self) -> str:
        """Name of the signature to call."""

    @property
    def input(self) -> ImageInput:
        """The image input."""

    @property
    def outputs(self) -> Sequence[str]:
        """Names of the outputs that are read."""

    @property
    def classes(self) -> tuple[ModelClass, ...] | None:
        """The classes that the model can return; None where they are unknown."""

    def with_classes(self, outputs: Sequence[Outputs], class_names: ClassNames | None) -> "Prepared[Self]":
        """Return the contract with the classes of the model.

        Args:
            outputs: of the model for each of the warm-up images.
            class_names: the class list that the user names.

        Raises:
            ModelContractError: the classes are unknown, or the outputs are not those of the contract.
        """

    def read(self, outputs: Outputs, width: int, height: int) -> Found_co:
        """Convert the outputs of one call.

        Args:
            outputs: arrays by output name.
            width: of the displayed image, in pixels.
            height: of the displayed image, in pixels.

        Raises:
            ModelError: the outputs differ from those of the contract.
        """


Prepared_co = TypeVar("Prepared_co", covariant=True)


class Prepared(NamedTuple, Generic[Prepared_co]):
    """A contract that is ready to read outputs.

    Attributes:
        contract: with classes.
        uses_class_names: whether they come from the user's class list.
        note: a sentence about an assumption that people should know; empty for none.
    """

    contract: Prepared_co
    uses_class_names: bool = False
    note: str = ""


Recogniser = Callable[[Signature], Contract[Found_co] | None]


def _listed(tensors: Mapping[str, Tensor]) -> str:
    return ", ".join(f"{name} {tensor}" for name, tensor in sorted(tensors.items()))
