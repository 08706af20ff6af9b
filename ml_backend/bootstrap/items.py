"""What flows through a bulk job: the items of a source, and what was found in their pictures."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ml_backend.detections import Detections
from ml_backend.label_studio.regions import Prediction, Region
from ml_backend.redaction import printable


@dataclass(frozen=True, slots=True)
class Item:
    """One task-to-be.

    Attributes:
        key: what names it in its source for good.
        task: the task as it is written out: its ``data``, and whatever else the source has of it.
        file: the picture on this machine, where the task's data names it as Label Studio will.
        left: why it is left alone, or nothing.
        stamp: changes when its pictures may have changed.
        variant: tells items of one key apart, which the checkpoint numbers in the order of the source; two of one key and variant are one.
            Checkpoints of older versions have it as the key.
    """

    key: bytes
    task: dict[str, Any]
    file: Path | None = None
    left: str = ""
    stamp: str = ""
    variant: bytes = b""

    @property
    def name(self) -> str:
        """What a person knows it by: its path in the folder, its number in Label Studio, or what its task says."""
        if self.file is not None:
            return printable(os.fsdecode(self.key), 1000)
        if "id" in self.task:
            return f"task {self.task['id']}"
        return printable(", ".join(map(str, self.task.get("data", {}).values())), 1000)


@dataclass(frozen=True, slots=True)
class WorkItem:
    """An item whose pictures have not been looked at yet, and its place in the order of the job."""

    position: int
    item: Item


@dataclass(frozen=True, slots=True)
class ImageResult:
    """One picture, looked at.

    Attributes:
        digest: SHA-256 of the file's bytes, 64 hex digits.
        detections: encoded (:meth:`~ml_backend.detections.Detections.to_bytes`); None where the checkpoint has them.
        perceptual_hash: perceptual hash, 64 bits.
        computed: whether the detector ran for it.
    """

    digest: str
    detections: bytes | None = None
    perceptual_hash: int = 0
    computed: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is nothing to say about an item: a sentence for a person, and the error's short code."""

    reason: str
    code: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one item.

    Attributes:
        position: its place in the order of the job.
        looks: its pictures by the key of the task's data; of a failed item, those before the failure.
        failure: why it failed, or None.
    """

    position: int
    looks: Mapping[str, list[ImageResult]] = field(default_factory=dict)
    failure: Failure | None = None


Keep = Callable[[Sequence[Outcome]], None]
"""Takes a portion of outcomes into the checkpoint."""


@dataclass(frozen=True, slots=True)
class CompletedItem:
    """An item that is done, as the checkpoint gives it back.

    Attributes:
        position: its place in the order of the job.
        item: what it is.
        detections: of each picture by the key of the task's data; nothing where the item was left alone.
        perceptual_hash: perceptual hash of its first picture.
        digests: of the bytes of its pictures, in hex.
    """

    position: int
    item: Item
    detections: Mapping[str, list[Detections]]
    perceptual_hash: int
    digests: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PredictedImage:
    """One picture of an item, ready to be written.

    Attributes:
        value: what the task's data says that it is.
        file: where it is on this machine, if it is.
        name: its path in the folder that it comes from, or ``value``.
        width, height: as it is displayed, in pixels.
        regions: on it, in the project's labels.
    """

    value: str
    file: Path | None
    name: str
    width: int
    height: int
    regions: list[Region]


@dataclass(frozen=True, slots=True)
class Predicted:
    """An item, ready to be written.

    Attributes:
        position: its place in the order of the job.
        item: what it is.
        prediction: in the project's labels; None where the item was left alone.
        images: that it has; none where it was left alone.
        cluster: a number that near-duplicates share, from 1; 0 where it was left alone.
    """

    position: int
    item: Item
    prediction: Prediction | None = None
    images: Sequence[PredictedImage] = ()
    cluster: int = 0
