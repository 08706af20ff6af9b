"""The description of a signature, and the protocol of contracts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from ml_backend.detections import Detections
from ml_backend.vocabularies.open_images import ClassList

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


class Contract(Protocol):
    """A signature with known inputs and outputs. ``str()`` describes it in one line."""

    @property
    def signature(self) -> str:
        """Name of the signature to call."""

    @property
    def input(self) -> str:
        """Name of the image input: float32 [1, H, W, 3] in [0, 1]."""

    @property
    def outputs(self) -> Sequence[str]:
        """Names of the outputs that are read."""

    def read(self, outputs: Outputs, width: int, height: int) -> Detections:
        """Convert the outputs of one call to detections.

        Args:
            outputs: arrays by output name.
            width: of the displayed image, in pixels.
            height: of the displayed image, in pixels.

        Raises:
            DetectorError: the shapes of the outputs differ from those of the contract.
        """

    def class_list(self, outputs: Outputs) -> ClassList | None:
        """Return the classes that the model can return, by its outputs for an empty image; None where they are unknown."""


def _listed(tensors: Mapping[str, Tensor]) -> str:
    return ", ".join(f"{name} {tensor}" for name, tensor in sorted(tensors.items()))
