"""A bulk job from top to bottom: survey the source, examine its images, write the predictions."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from ml_backend.bootstrap.checkpoint import Checkpoint, Counts
from ml_backend.bootstrap.existing_tasks import ExistingTaskPolicy
from ml_backend.bootstrap.items import ImageResults, Item, Keep, Needs, Outcome, PredictedImage, PredictedItem
from ml_backend.bootstrap.near_duplicates import NearDuplicates
from ml_backend.bootstrap.outputs import mark_being_written, mark_written, remove_superseded
from ml_backend.bootstrap.pending import BLOCK
from ml_backend.bootstrap.sinks.sink import Sink, WriteContext, write_all
from ml_backend.bootstrap.sources.source import Source
from ml_backend.bootstrap.survey import Surveyed, blocks
from ml_backend.label_studio.controls.control import ImageField
from ml_backend.label_studio.regions import ChoiceRegion, Region
from ml_backend.model_results import KINDS, ModelResults, described
from ml_backend.pipeline.holdout import in_holdout
from ml_backend.postprocessing.postprocessor import Postprocessor

ChoiceScores = dict[str, Mapping[str, float]]
"""The scores of all choices of an image, by control and choice."""


class Engine(Protocol):
    """Examines images: on this machine, or on a cluster."""

    def run(self, checkpoint: Checkpoint, needs: Needs, keep: Keep) -> None:
        """Examine all pending items of a checkpoint; their outcomes go to ``keep``, in any order.

        Raises:
            KeyboardInterrupt: the run was interrupted; recorded outcomes are kept.
            BootstrapError: the run cannot go on; recorded outcomes are kept.
        """


class Reporter:
    """Receives the progress of a job; this base class ignores it."""

    def surveyed(self, counts: Counts, surveyed: Surveyed) -> None:
        """Report the size of the source, after the survey."""

    def examined(self, outcomes: Sequence[Outcome]) -> None:
        """Report outcomes that have just been recorded."""

    def examining(self, pending: int) -> AbstractContextManager[object]:  # noqa: ARG002 - for subclasses
        """Return a context that is entered while items are examined."""
        return nullcontext()

    def wrote(self, sentence: str) -> None:
        """Report a sink that is complete."""

    def note(self, sentence: str) -> None:
        """Report something that people should know."""

    def estimated(self, pending: int, sheet: Path) -> None:
        """Report the end of a dry run: the number of items in the whole job, and the contact sheet."""

    def ended(self, counts: Counts, advice: str) -> None:
        """Report the end of the run, and what people can do next."""


@dataclass(frozen=True)
class Job:
    """One run of ``prelabel bootstrap``.

    Attributes:
        source: of the items.
        checkpoint: of the job, entered and claimed.
        postprocessor: of the label config.
        policy: for tasks that exist, with the model version of the predictions.
        reporter: receives the progress.
        holdout_fraction: share of images whose regions annotators do not get, 0 to 1.
    """

    source: Source
    checkpoint: Checkpoint
    postprocessor: Postprocessor
    policy: ExistingTaskPolicy
    reporter: Reporter
    holdout_fraction: float = 0

    def survey(self, *, leave_out_missing: bool = False) -> None:
        """Take in the items of the source: all of them the first time, new and changed ones later, and those that need another model now.

        Args:
            leave_out_missing: remove the items that the source does not name any more.
        """
        surveyed = self.checkpoint.survey(
            self.source.items(), sort=self.source.sort, leave_out_missing=leave_out_missing
        )
        lacking = self.checkpoint.require(self.postprocessor.needs)
        self.reporter.surveyed(self.checkpoint.counts(), surveyed)
        if lacking:
            models = " and ".join(described(kind) for kind in sorted(self.postprocessor.models, key=KINDS.index))
            self.reporter.note(
                f"{lacking:,} that were done are examined again: the label config now needs {models} on each of its images; "
                "results that are there are not computed again"
            )

    def examine(self, engine: Engine) -> None:
        """Examine all pending items."""

        def keep(outcomes: Sequence[Outcome]) -> None:
            if outcomes:
                self.checkpoint.record(outcomes)
                self.reporter.examined(outcomes)

        with self.reporter.examining(self.checkpoint.counts().pending):
            engine.run(self.checkpoint, self.postprocessor.needs, keep)

    @property
    def predictions(self) -> "JobPredictions":
        """The predictions of all items."""
        return JobPredictions(self.checkpoint, self.postprocessor, self.policy.version, self.holdout_fraction)

    def write(self, sinks: Sequence[Sink]) -> None:
        """Write all predictions to all sinks, in one pass; remote sinks come last."""
        ordered = sorted(sinks, key=lambda sink: sink.remote)
        predictions = replace(self.predictions, with_scores=any(sink.shows_scores for sink in sinks))
        context = WriteContext(len(predictions), self.checkpoint, self.policy, self.source.project)
        before = {sink: sink.outputs for sink in sinks}
        for outputs in before.values():
            mark_being_written(self.checkpoint, outputs)
        for sink, sentence in write_all(ordered, predictions, context):
            mark_written(self.checkpoint, {*before[sink], *sink.outputs})
            self.reporter.wrote(sentence)
        remove_superseded(self.checkpoint, sinks)


@dataclass(frozen=True)
class JobPredictions:
    """The predictions of all items of a checkpoint.

    Attributes:
        checkpoint: of the job.
        postprocessor: of the label config.
        version: the model version that predictions carry.
        holdout_fraction: share of images whose regions annotators do not get, 0 to 1.
        with_scores: whether images get the scores of all choices.
    """

    checkpoint: Checkpoint
    postprocessor: Postprocessor
    version: str
    holdout_fraction: float = 0
    with_scores: bool = False

    def __len__(self) -> int:
        """Return the number of items with images."""
        return self.checkpoint.counts().done

    def __iter__(self) -> Iterator[PredictedItem]:
        """Predict the items and yield them in order."""
        near_duplicates = NearDuplicates()
        for block in blocks(self.checkpoint.done(), BLOCK):
            hashes = [_first_hash(images) for item, images in block if not item.skip_reason]
            clusters = iter(near_duplicates.number_all(np.array(hashes, np.uint64)))
            for item, images in block:
                yield PredictedItem(item) if item.skip_reason else self._predict(item, images, next(clusters))

    def _predict(self, item: Item, results: ImageResults, cluster: int) -> PredictedItem:
        found = {
            field: [result.decoded(kinds) for result in results[field.key]]
            for field, kinds in self.postprocessor.needs.items()
        }
        # Region ids are made of the item's key, since a new task has no id before Label Studio gives it one.
        prediction = self.postprocessor.predict(item.key, found, self.version)
        scores = self._choice_scores(found) if self.with_scores else {}
        images = []
        for field, of_field in found.items():
            values = item.task["data"][field.key]
            for number, (value, result) in enumerate(zip(values if field.is_list else [values], of_field, strict=True)):
                regions = [region for region in prediction["result"] if self._is_on(region, field, number)]
                name = item.name if item.file is not None else str(value)
                if name.startswith("data:"):
                    name = f"inline-{item.position}-{number}"
                of_image = scores.get((field, number), {})
                images.append(PredictedImage(str(value), item.file, name, *result.size, regions, of_image))
        digests = (result.digest for of_key in results.values() for result in of_key)
        held_out = any(in_holdout(digest, self.holdout_fraction) for digest in digests)
        return PredictedItem(item, prediction, images, cluster, held_out)

    def _choice_scores(
        self, found: Mapping[ImageField, Sequence[ModelResults]]
    ) -> dict[tuple[ImageField, int], ChoiceScores]:
        """Return the scores of all choices for each image, by its field and its index there."""
        scores: dict[tuple[ImageField, int], ChoiceScores] = {}
        for served, item, decisions in self.postprocessor.explain_choices(found):
            control = served.control
            field = control.image_field
            of_control = {each.choice.value: each.score for each in decisions}
            for number in [item] if control.per_item else range(len(found[field])):
                scores.setdefault((field, number), {})[control.from_name] = of_control
        return scores

    def _is_on(self, region: Region | ChoiceRegion, field: ImageField, number: int) -> bool:
        # Choices for all images of a list have no index.
        return region.get("item_index", number) == number and any(
            control.image_field == field and control.to_name == region["to_name"]
            for control in self.postprocessor.controls
        )


def _first_hash(results: ImageResults) -> int:
    return next((result.perceptual_hash for of_key in results.values() for result in of_key), 0)
