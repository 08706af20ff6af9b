"""A model in memory: pixels in, results out. Detectors and classifiers differ in their contracts only."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from ml_backend.errors import ModelContractError, ModelError, ModelLoadError
from ml_backend.inference.contracts.contract import Contract, Signature
from ml_backend.inference.hub import Progress, check_handle, model_name
from ml_backend.inference.runtimes.registry import RUNTIMES
from ml_backend.inference.runtimes.runtime import Function, LoadRequest, RunError
from ml_backend.model_results import ModelKind
from ml_backend.redaction import redact
from ml_backend.vocabularies.class_list import ModelClass
from ml_backend.vocabularies.class_names import ClassNames

Found = TypeVar("Found")

WARM_UP_SIZE = (480, 640)  # height and width of a common photograph


@dataclass(frozen=True)
class LoadedModel(ABC, Generic[Found]):
    """A model in memory. Safe to call from several threads at once.

    Attributes:
        kind: ``detector`` or ``classifier``.
        variable: the setting that names its handle.
        handle: the handle that was loaded, without passwords and signatures.
        name: short name of the model.
        fingerprint: SHA-256 of the model's files, and of the user's class list where it is used; 64 hex digits.
        contract: the signature that is called.
        module: the module of TensorFlow, which keeps variables and tables alive; None where TensorFlow was not needed.
        function: calls the signature.
        uses_class_names: whether its classes come from the user's class list.
        note: a sentence about an assumption that people should know; empty for none.
        runtime: the library that runs it, and why, for people.
    """

    kind: ClassVar[ModelKind]
    variable: ClassVar[str]

    handle: str
    name: str
    fingerprint: str
    contract: Contract[Found]
    module: Any
    function: Function
    uses_class_names: bool = False
    note: str = ""
    runtime: str = ""

    @classmethod
    def check(cls, handle: str, cache_dir: Path) -> None:
        """Find the mistakes in a handle that can be found at once.

        Args:
            handle: as for :meth:`load`.
            cache_dir: folder of downloads.

        Raises:
            ModelLoadError: there is no such folder or file, or no room for downloads.
        """
        try:
            check_handle(handle, cache_dir, cls.variable)
        except ModelLoadError as error:
            raise ModelLoadError(f"the {cls.kind} {error}") from error

    @classmethod
    def load(  # noqa: PLR0913 - each is a choice of the user
        cls,
        handle: str,
        cache_dir: Path,
        *,
        workers: int,
        class_names: ClassNames | None = None,
        progress: Progress = lambda _: None,
        runtime: str = "tensorflow",
        precision: str = "f32",
    ) -> Self:
        """Load and warm up the model of a handle; takes seconds, and a download the first time.

        Args:
            handle: of a form that :func:`ml_backend.inference.hub.load_module` accepts.
            cache_dir: folder of downloads.
            workers: expected number of concurrent calls of :meth:`run`.
            class_names: the class list that the user names, for a model that does not tell its classes.
            progress: called with a text at each step.
            runtime: of :data:`~ml_backend.inference.runtimes.registry.RUNTIMES`.
            precision: ``f32``, ``bf16`` or ``int8``, of the inner computation; another one than ``f32`` changes the fingerprint.

        Raises:
            ModelLoadError: it cannot be loaded.
            ModelContractError: it keeps no supported contract, or its classes are unknown.
        """

        def recognise(signatures: Sequence[Signature]) -> Contract[Found]:
            return cls.recognise(signatures, redact(handle))

        request = LoadRequest(handle, cls.variable, cache_dir, workers, precision, recognise, progress)
        try:
            running = RUNTIMES[runtime](request)
        except ModelContractError:
            raise
        except ModelLoadError as error:
            raise ModelLoadError(f"the {cls.kind} {error}") from error
        progress("warming up")
        try:
            outputs = [running.function(image) for image in _warm_up_images()]
        except RunError as error:
            raise ModelLoadError(f"{redact(handle)} loads, but fails on an empty image: {error}") from error
        try:
            contract, uses_class_names, note = running.contract.with_classes(outputs, class_names)
        except (ModelContractError, ModelError) as error:
            raise ModelContractError(f"{redact(handle)} cannot be used: {error}") from error
        digest = running.fingerprint
        if uses_class_names and class_names is not None:
            digest = hashlib.sha256(f"{digest} {class_names.digest}".encode()).hexdigest()
        if precision != "f32":
            digest = hashlib.sha256(f"{digest} {precision}".encode()).hexdigest()
        return cls(
            handle=redact(handle),
            name=model_name(handle),
            fingerprint=digest,
            contract=contract,
            module=running.module,
            function=running.function,
            runtime=running.note or running.runtime,
            uses_class_names=uses_class_names,
            note=note,
        )

    @classmethod
    @abstractmethod
    def recognise(cls, signatures: Sequence[Signature], handle: str) -> Contract[Found]:
        """Return the signature of its contract.

        Raises:
            ModelContractError: there is none.
        """

    @property
    def classes(self) -> tuple[ModelClass, ...] | None:
        """The classes that the model can return; None where they are unknown."""
        return self.contract.classes

    def run(self, pixels: NDArray[np.uint8], size: tuple[int, int] | None = None) -> Found:
        """Run the model on one image; blocks until done.

        Args:
            pixels: uint8 [H, W, 3], RGB, in the displayed frame.
            size: width and height of the displayed image in pixels, where ``pixels`` was shrunk.

        Raises:
            ModelError: the model failed on this image.
        """
        width, height = size or (pixels.shape[1], pixels.shape[0])
        try:
            outputs = self.function(pixels)
        except RunError as error:
            raise ModelError(f"the {self.kind} failed on an image of {width} x {height} pixels: {error}") from error
        return self.contract.read(outputs, width, height)


def _warm_up_images() -> list[NDArray[np.uint8]]:
    """Return a black image and a gradient: what holds for the outputs of both does not hold by chance."""
    height, width = WARM_UP_SIZE
    gradient = np.linspace(0, 255, width).astype(np.uint8)
    return [np.zeros([height, width, 3], np.uint8), np.tile(gradient[None, :, None], (height, 1, 3))]
