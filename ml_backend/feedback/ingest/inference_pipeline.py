"""The part of the pipeline that corrections need: results for a task's images, and the postprocessor of a label config."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from ml_backend.label_studio.controls.control import ImageField
from ml_backend.model_results import ModelKind
from ml_backend.pipeline.image_results import InferredImage
from ml_backend.postprocessing.postprocessor import Postprocessor


class Postprocessors(Protocol):
    """Postprocessors by label config."""

    def of(self, label_config: str, project: str | None = None) -> Postprocessor:
        """Return the postprocessor of a label config, with the overrides of its project.

        Raises:
            LabelConfigError: the label config cannot be served.
        """

    def version_of(self, postprocessor: Postprocessor) -> str:
        """Return the model version of predictions that a postprocessor makes."""


class InferencePipeline(Protocol):
    """Results of the models for a task's images; :class:`~ml_backend.pipeline.prediction.Pipeline` is one."""

    @property
    def postprocessors(self) -> Postprocessors:
        """The postprocessors."""

    @property
    def kinds(self) -> Collection[ModelKind]:
        """The models that there are."""

    @property
    def tiles(self) -> int:
        """The number of tiles along each side for controls that do not say, at most."""

    async def infer(
        self, task: object, needs: Mapping[ImageField, Collection[ModelKind]], project: str | None = None
    ) -> Mapping[ImageField, Sequence[InferredImage]]:
        """Return the results of models for a task's images, by image field.

        Raises:
            PrelabelError: an image cannot be had or read.
        """
