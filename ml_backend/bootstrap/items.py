"""The types of a bulk job.

On its way from a source to a sink, one image is described by five of them:

====================  =============================================================  =======================
``Item``              the task that names the image                                  source -> worker
``ImageReference``    where the image is (:mod:`ml_backend.images.references`)       worker
``Fetched``           the bytes of its file (:mod:`ml_backend.images.fetch`)         worker
``ImageResult``       its digest, hash and results (:mod:`ml_backend.pipeline`)      worker -> checkpoint
``PredictedImage``    its size and its regions in the project's labels               postprocessing -> sink
====================  =============================================================  =======================

An item can have several images: :class:`Outcome` holds the results of all of them, :class:`PredictedItem` the prediction of the task.
"""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from ml_backend.label_studio.controls.control import ImageField
from ml_backend.label_studio.regions import ChoiceRegion, Prediction, Region
from ml_backend.model_results import ModelKind
from ml_backend.pipeline.image_results import ImageResult
from ml_backend.redaction import printable


@dataclass(frozen=True, slots=True)
class Item:
    """A task of the source, which gets a prediction.

    Attributes:
        key: identifies the item in its source, in every run.
        task: the task as it is written: its ``data``, and all other fields that the source has.
        file: the image on this machine, where the task's data holds the address that Label Studio will use.
        skip_reason: why the item gets no prediction; empty if it gets one.
        stamp: changes when the images may have changed.
        variant: distinguishes items with the same key; the checkpoint numbers them in the order of the source. Items with the same key
            and variant are one. Checkpoints of older versions have it as the key.
        position: place in the order of the job, from 1; 0 before the checkpoint has assigned one.
        known: the models whose results the checkpoint has already, by the digests of images that the item had under another label config.
    """

    key: bytes
    task: dict[str, Any]
    file: Path | None = None
    skip_reason: str = ""
    stamp: str = ""
    variant: bytes = b""
    position: int = field(default=0, compare=False)
    known: Mapping[str, frozenset[ModelKind]] = field(default_factory=dict, compare=False)

    @property
    def name(self) -> str:
        """A name for people: the path in the folder, the number in Label Studio, or the values of the task's data."""
        if self.file is not None:
            return printable(os.fsdecode(self.key), 1000)
        if "id" in self.task:
            return f"task {self.task['id']}"
        return printable(", ".join(map(str, self.task.get("data", {}).values())), 1000)


Needs = Mapping[ImageField, Collection[ModelKind]]
"""The fields of a task's data that hold images, with the models whose results are needed."""

ImageResults = Mapping[str, Sequence[ImageResult]]
"""The results of an item's images, by the key of the task's data."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The error of an item that failed: a sentence for people, and a short code."""

    reason: str
    code: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """The results of one item.

    Attributes:
        position: of the item in the order of the job.
        images: the results of its images; of an item that failed, those before the failure.
        failure: the error of an item that failed.
    """

    position: int
    images: ImageResults = field(default_factory=dict)
    failure: Failure | None = None


Keep = Callable[[Sequence[Outcome]], None]
"""Records some outcomes in the checkpoint."""


@dataclass(frozen=True, slots=True)
class PredictedImage:
    """One image of a predicted item.

    Attributes:
        value: the image in the task's data.
        file: the image on this machine, if it is there.
        name: its path in the folder that it comes from, or ``value``.
        width, height: as it is displayed, in pixels.
        regions: on the image, in the project's labels. Choices for all images of a list are on each of them.
        choice_scores: the scores of all choices, also of those that do not hold, 0 to 1, by control and choice; empty where no sink shows them.
    """

    value: str
    file: Path | None
    name: str
    width: int
    height: int
    regions: list[Region | ChoiceRegion]
    choice_scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PredictedItem:
    """An item with its prediction, ready to be written by sinks.

    Attributes:
        item: the task that was predicted.
        prediction: in the project's labels; None for a skipped item.
        images: of the item; none for a skipped item.
        cluster: a number that near-duplicates share, from 1; 0 for a skipped item.
        in_holdout: whether annotators get the prediction without its regions.
    """

    item: Item
    prediction: Prediction | None = None
    images: Sequence[PredictedImage] = ()
    cluster: int = 0
    in_holdout: bool = False

    def without_regions(self) -> Self:
        """Return the same prediction without its boxes and choices."""
        if self.prediction is None:
            return self
        images = [replace(image, regions=[], choice_scores={}) for image in self.images]
        return replace(self, prediction={**self.prediction, "result": []}, images=images)
