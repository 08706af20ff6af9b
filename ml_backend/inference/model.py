"""The protocol of everything that finds something in images."""

from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ml_backend.vocabularies.open_images import ClassList

Found_co = TypeVar("Found_co", covariant=True)


class Model(Protocol[Found_co]):
    """A loaded model. Safe to call from several threads at once."""

    @property
    def name(self) -> str:
        """Short name, as it stands in ``model_version``."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the model's files, 64 hex digits."""

    @property
    def class_list(self) -> ClassList | None:
        """The classes that the model can return; None where no list has them."""

    def run(self, pixels: NDArray[np.uint8], size: tuple[int, int] | None = None) -> Found_co:
        """Return what the model finds in one image; blocks until done.

        Args:
            pixels: uint8 [H, W, 3], RGB, in the displayed frame.
            size: width and height of the displayed image, in pixels, where ``pixels`` has fewer of them.

        Raises:
            DetectorError: the model failed on this image.
        """
