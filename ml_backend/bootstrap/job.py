"""The way of a bulk job, from top to bottom: survey, examine, write."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from ml_backend.bootstrap.checkpoint import BLOCK, Checkpoint, Counts, Surveyed, blocks
from ml_backend.bootstrap.items import CompletedItem, Keep, Outcome, Predicted, PredictedImage
from ml_backend.bootstrap.near_duplicates import NearDuplicates
from ml_backend.bootstrap.outputs import recorded, remove_superseded
from ml_backend.bootstrap.sinks.sink import Sink
from ml_backend.bootstrap.sources.source import Source
from ml_backend.label_studio.controls import ImageField
from ml_backend.label_studio.regions import Region
from ml_backend.pipeline.postprocessors import in_holdout
from ml_backend.postprocessing.postprocessor import Postprocessor


class Engine(Protocol):
    """What looks at pictures: on this machine, or on many."""

    def run(self, checkpoint: Checkpoint, image_fields: Sequence[ImageField], keep: Keep) -> None:
        """Look at all pending items of a checkpoint; their outcomes go to ``keep``, in any order.

        Raises:
            KeyboardInterrupt: somebody wants it to end; what was done is kept.
            BootstrapError: it cannot go on; what was done is kept.
        """


class Reporter(Protocol):
    """Is told how a job goes."""

    def surveyed(self, counts: Counts, surveyed: Surveyed) -> None:
        """The source has been gone through."""

    def examined(self, outcomes: Sequence[Outcome]) -> None:
        """Items have been looked at, and that is in the checkpoint."""

    def examining(self, pending: int) -> AbstractContextManager[object]:
        """Return what is entered while items are looked at."""

    def wrote(self, sentence: str) -> None:
        """A sink has everything."""

    def note(self, sentence: str) -> None:
        """Something that people should know."""

    def estimated(self, pending: int, sheet: Path) -> None:
        """A dry run is over, of so many items that there are to be looked at; what it found is drawn on a contact sheet."""

    def ended(self, counts: Counts, advice: str) -> None:
        """The run is over; there may be something to do about it."""


@dataclass(frozen=True)
class Job:
    """One run of ``prelabel bootstrap``.

    Attributes:
        source: where pictures come from.
        checkpoint: what has been done, entered and claimed.
        postprocessor: what the label config says.
        version: the model version that predictions carry.
        reporter: is told how it goes.
        holdout_fraction: share of pictures whose boxes annotators do not get, 0 to 1.
    """

    source: Source
    checkpoint: Checkpoint
    postprocessor: Postprocessor
    version: str
    reporter: Reporter
    holdout_fraction: float = 0

    def survey(self, *, leave_out_missing: bool = False) -> None:
        """Take in the source: all of it the first time, and what is new or has changed later.

        Args:
            leave_out_missing: take out the items that the source does not name any more.
        """
        surveyed = self.checkpoint.survey(
            self.source.items(), sort=self.source.sort, leave_out_missing=leave_out_missing
        )
        self.reporter.surveyed(self.checkpoint.counts(), surveyed)

    def examine(self, engine: Engine) -> None:
        """Look at everything that has not been looked at."""

        def keep(outcomes: Sequence[Outcome]) -> None:
            if outcomes:
                self.checkpoint.record(outcomes)
                self.reporter.examined(outcomes)

        with self.reporter.examining(self.checkpoint.counts().pending):
            engine.run(self.checkpoint, self.postprocessor.image_fields, keep)

    def write(self, sinks: Sequence[Sink]) -> None:
        """Write everything that is known, to one sink after the other."""
        for sink in sinks:
            fraction = self.holdout_fraction if sink.for_annotators else 0
            predictions = JobPredictions(self.checkpoint, self.postprocessor, self.version, fraction)
            with recorded(self.checkpoint, sink):
                self.reporter.wrote(sink.write(predictions))
        remove_superseded(self.checkpoint, sinks)


@dataclass(frozen=True)
class JobPredictions:
    """All items of a checkpoint, predicted, each time that they are gone through."""

    checkpoint: Checkpoint
    postprocessor: Postprocessor
    version: str
    holdout_fraction: float = 0

    def __len__(self) -> int:
        """Return how many have pictures."""
        return self.checkpoint.counts().done

    def __iter__(self) -> Iterator[Predicted]:
        """Yield them in order."""
        near_duplicates = NearDuplicates()
        for block in blocks(self.checkpoint.done(), BLOCK):
            predicted = [found for found in block if not found.item.left]
            hashes = np.array([found.perceptual_hash for found in predicted], np.uint64)
            clusters = iter(near_duplicates.number_all(hashes))
            for found in block:
                if found.item.left:
                    yield Predicted(found.position, found.item)
                else:
                    yield self._predicted(found, next(clusters))

    def _predicted(self, found: CompletedItem, cluster: int) -> Predicted:
        detections = {place: found.detections[place.key] for place in self.postprocessor.image_fields}
        # Named by the key, since tasks have no numbers before Label Studio gives them some.
        prediction = self.postprocessor.predict(found.item.key, detections, self.version)
        if any(in_holdout(digest, self.holdout_fraction) for digest in found.digests):
            prediction["result"] = []
        images = []
        for place, of_place in detections.items():
            values = found.item.task["data"][place.key]
            for number, (value, seen) in enumerate(zip(values if place.is_list else [values], of_place, strict=True)):
                regions = [region for region in prediction["result"] if self._is_on(region, place, number)]
                name = found.item.name if found.item.file is not None else str(value)
                if name.startswith("data:"):
                    name = f"inline-{found.position}-{number}"
                images.append(PredictedImage(str(value), found.item.file, name, seen.width, seen.height, regions))
        return Predicted(found.position, found.item, prediction, images, cluster)

    def _is_on(self, region: Region, place: ImageField, number: int) -> bool:
        return region.get("item_index", 0) == number and any(
            control.image_field == place and control.to_name == region["to_name"]
            for control, _ in self.postprocessor.controls
        )
