"""The protocol of models."""

from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ml_backend.vocabularies.class_list import ModelClass

Found_co = TypeVar("Found_co", covariant=True)


class Model(Protocol[Found_co]):
    """A loaded model, whose results for an image have the type ``Found_co``. Safe to call from several threads at once."""

    @property
    def name(self) -> str:
        """Short name, the first part of ``model_version``."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the model's files, and of the user's class list where it is used; 64 hex digits."""

    @property
    def classes(self) -> tuple[ModelClass, ...] | None:
        """The classes that the model can return; None where they are unknown."""

    def run(self, pixels: NDArray[np.uint8], size: tuple[int, int] | None = None) -> Found_co:
        """Run the model on one image; blocks until done.

        Args:
            pixels: uint8 [H, W, 3], RGB, in the displayed frame.
            size: width and height of the displayed image in pixels, where ``pixels`` was shrunk.

        Raises:
            ModelError: the model failed on this image.
        """
