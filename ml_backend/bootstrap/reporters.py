"""Reporters of a bulk job: a progress bar, JSON lines, or silence."""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from typing_extensions import override

from ml_backend.bootstrap.checkpoint import Counts
from ml_backend.bootstrap.items import Outcome
from ml_backend.bootstrap.job import Reporter
from ml_backend.bootstrap.survey import Surveyed
from ml_backend.detections import Detections
from ml_backend.errors import BootstrapError
from ml_backend.label_studio.controls.choices import ChoicesControl
from ml_backend.label_studio.controls.rectangles import RectangleControl
from ml_backend.model_results import ModelKind, tiles_of
from ml_backend.pipeline.image_work import Cost
from ml_backend.postprocessing.label_map import LabelMap
from ml_backend.postprocessing.postprocessor import Postprocessor
from ml_backend.postprocessing.selection import select

EVERY = 1.0  # seconds between two reports
RATE_OVER = 60.0  # seconds


class OutputClosedError(BootstrapError):
    """The reader of standard output has gone, as after ``| head -1``; recorded outcomes are kept."""


class LabelsAndCost(NamedTuple):
    """The result and the cost of one way to detect.

    Attributes:
        labels: the number of boxes by label.
        runs: of the detector for an image, on average; each tile is one.
        seconds: of a worker for an image, on average, with decoding.
    """

    labels: Counter[str]
    runs: float
    seconds: float


class Tally:
    """The figures of this run.

    Attributes:
        items: examined, failed ones included.
        failed: items that failed.
        images: examined; an item can have several.
        computed: images for which a model ran; the results of all others were in the checkpoint or the cache.
        tiles: the largest number of tiles along each side of an image; 0 without tiles.
        labels: the number of boxes by label and of images (or lists of them) by choice, of those results that were new to the checkpoint. A
            choice whose name is also that of a label, or of another control's choice, is called ``<control>: <choice>``.
        costs: of each kind of results that was computed.
    """

    def __init__(self, postprocessor: Postprocessor) -> None:
        self.tiles = max([control.tiles or 0 for control, _ in postprocessor.rectangles], default=0)
        self._postprocessor = postprocessor
        self._used = Counter({label.value for control, _ in postprocessor.rectangles for label in control.labels})
        for served in postprocessor.choices:
            self._used.update({choice.value for choice in served.control.labels})
        self.start()
        self.items = self.failed = self.images = self.computed = 0
        self.labels: Counter[str] = Counter()
        self._boxes: Counter[str] = Counter()
        self._boxes_in_whole: Counter[str] = Counter()
        self.costs: dict[ModelKind, Cost] = {}

    def start(self) -> None:
        """Start the clock."""
        self._started = time.monotonic()
        self._ended: float | None = None

    def stop(self) -> None:
        """Stop the clock."""
        self._ended = time.monotonic()

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Count outcomes."""
        for outcome in outcomes:
            self.items += 1
            self.failed += outcome.failure is not None
            for image in (image for images in outcome.images.values() for image in images):
                self.images += 1
                self.computed += image.computed
                for kind, cost in image.costs.items():
                    self.costs[kind] = self.costs.get(kind, Cost()) + cost
            self._count_boxes(outcome)
            self._count_choices(outcome)

    def _count_boxes(self, outcome: Outcome) -> None:
        for control, label_map in self._postprocessor.rectangles:
            for image in outcome.images.get(control.data_key, ()):
                if not image.kinds.issuperset(control.models):
                    continue
                results = image.decoded(control.models)
                kept = self._kept(results.boxes_in(control.models), control, label_map)
                self.labels.update(kept)
                if self.tiles:
                    self._boxes.update(kept)
                    self._boxes_in_whole.update(self._kept(results.boxes, control, label_map))

    def _kept(self, detections: Detections, control: RectangleControl, label_map: LabelMap) -> list[str]:
        decisions = select(detections, control, label_map, self._postprocessor.score_threshold)
        return [decision.label for decision in decisions if decision.kind == "kept"]

    def _count_choices(self, outcome: Outcome) -> None:
        for served in self._postprocessor.choices:
            control = served.control
            images = outcome.images.get(control.data_key, ())
            found = [image.decoded([control.model]) for image in images if control.model in image.kinds]
            # Images that are classified together count only if all of them are new.
            groups = [[each] for each in found] if control.per_item else [found] if len(found) == len(images) else []
            for group in filter(None, groups):
                decisions = served.decide(group, self._postprocessor.score_threshold)
                self.labels.update(
                    {self._name(control, each.choice.value) for each in decisions if each.kind == "kept"}
                )

    def _name(self, control: ChoicesControl, choice: str) -> str:
        return f"{control.from_name}: {choice}" if self._used[choice] > 1 else choice

    @property
    def seconds(self) -> float:
        """Seconds from the start to the end, or to now."""
        return (self._ended or time.monotonic()) - self._started

    @property
    def rate(self) -> float:
        """Items a second, above 0."""
        return max(self.items, 0.1) / max(self.seconds, 1e-3)

    def compared(self) -> tuple[LabelsAndCost, LabelsAndCost]:
        """Return the number of boxes by label and the detector's cost for an image, for whole images alone and with tiles."""
        images = max(1, self.images)
        whole = self.costs.get("detector", Cost())
        both = sum([self.costs[kind] for kind in tiles_of(self.costs)], whole)
        return (
            LabelsAndCost(self._boxes_in_whole, whole.runs / images, whole.seconds / images),
            LabelsAndCost(self._boxes, both.runs / images, both.seconds / images),
        )

    def views(self) -> dict[str, dict[str, Any]]:
        """Return the figures of :meth:`compared`, for JSON."""
        return {
            name: {
                "labels": dict(each.labels.most_common()),
                "runs": round(each.runs, 2),
                "seconds": round(each.seconds, 3),
            }
            for name, each in zip(("whole", "with_tiles"), self.compared(), strict=True)
        }

    def figures(self) -> dict[str, Any]:
        """Return the figures, for JSON."""
        return {
            "items": self.items,
            "failed": self.failed,
            "pictures": self.images,
            "known": self.images - self.computed,
            "seconds": round(self.seconds, 1),
            "per_second": round(self.rate, 1),
            "labels": dict(self.labels.most_common()),
        }


class Quiet(Reporter):
    """Silent reporter, which only counts; base class of the others.

    Args:
        tally: counts the outcomes.
    """

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.pending = 0

    @override
    @contextmanager
    def examining(self, pending: int) -> Iterator[None]:
        self.pending = pending
        self.tally.start()
        try:
            yield
        finally:
            self.tally.stop()

    @override
    def examined(self, outcomes: Sequence[Outcome]) -> None:
        self.tally.add(outcomes)


class Lines(Quiet):
    """Writes a JSON object a line to standard output, for scripts."""

    def __init__(self, tally: Tally) -> None:
        super().__init__(tally)
        self._told = 0.0

    @override
    def surveyed(self, counts: Counts, surveyed: Surveyed) -> None:
        _tell("surveyed", **asdict(counts), **asdict(surveyed))

    @override
    def examined(self, outcomes: Sequence[Outcome]) -> None:
        super().examined(outcomes)
        if time.monotonic() - self._told >= EVERY:
            self._told = time.monotonic()
            pending = self.pending - self.tally.items
            _tell("progress", **self.tally.figures(), pending=pending, eta=round(pending / self.tally.rate))

    @override
    def wrote(self, sentence: str) -> None:
        _tell("wrote", text=sentence)

    @override
    def note(self, sentence: str) -> None:
        _tell("note", text=sentence)

    @override
    def estimated(self, pending: int, sheet: Path) -> None:
        _tell(
            "estimated",
            **self.tally.figures(),
            pending=pending,
            eta=round(pending / self.tally.rate),
            sheet=str(sheet),
            **({"views": self.tally.views()} if self.tally.tiles else {}),
        )

    @override
    def ended(self, counts: Counts, advice: str) -> None:
        _tell("ended", **self.tally.figures(), total=asdict(counts), advice=advice)


def _tell(event: str, **figures: Any) -> None:
    """Print one line.

    Raises:
        OutputClosedError: the reader has gone.
        BootstrapError: the line cannot be written for another reason.
    """
    try:
        print(json.dumps({"event": event, **figures}), flush=True)  # noqa: T201 - for scripts that read standard output
    except OSError as error:
        # Later output goes nowhere, or Python would report an error at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        kind = OutputClosedError if isinstance(error, BrokenPipeError) else BootstrapError
        raise kind(f"standard output cannot be written: {error.strerror}; what is done is kept") from None


class Watched(Quiet):
    """Reporter for people: a progress bar while items are examined, sentences for the rest."""

    def __init__(self, tally: Tally, console: Console) -> None:
        super().__init__(tally)
        self._console = console
        self._bar = Progress(
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.1f}/s"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[found]}", markup=False),
            console=console,
            speed_estimate_period=RATE_OVER,
        )

    @override
    def surveyed(self, counts: Counts, surveyed: Surveyed) -> None:
        numbers = {
            "done before": counts.done,
            "failed before": counts.failed,
            "skipped": counts.left,
            "named more than once (counted once)": surveyed.repeated,
            "missing from the source, still in the outputs (--leave-out-missing removes them)": surveyed.missing,
            "missing from the source, removed from the outputs": surveyed.left_out,
        }
        parts = [f"{counts.total - surveyed.missing:,} in the source"]
        self.note(", ".join(parts + [f"{number:,} {what}" for what, number in numbers.items() if number]))

    @override
    @contextmanager
    def examining(self, pending: int) -> Iterator[None]:
        self._line = self._bar.add_task("", total=pending, rate=0.0, found="")
        with super().examining(pending), self._bar if pending else nullcontext():
            yield

    @override
    def examined(self, outcomes: Sequence[Outcome]) -> None:
        super().examined(outcomes)
        self._bar.update(
            self._line, completed=self.tally.items, rate=self.tally.rate, found=f"{self._numbers()}  {self._labels(4)}"
        )

    def _numbers(self) -> str:
        numbers = {"failed": self.tally.failed, "known before": self.tally.images - self.tally.computed}
        return ", ".join(f"{number:,} {what}" for what, number in numbers.items() if number)

    def _labels(self, most: int) -> str:
        return ", ".join(f"{label} {number:,}" for label, number in self.tally.labels.most_common(most)) or "nothing"

    @override
    def wrote(self, sentence: str) -> None:
        self.note(sentence)

    @override
    def note(self, sentence: str) -> None:
        self._console.print(sentence, markup=False, emoji=False, highlight=False, soft_wrap=True)

    @override
    def estimated(self, pending: int, sheet: Path) -> None:
        self.note(f"found: {self._labels(20)}")
        if self.tally.tiles:
            self._compare()
        seconds = pending / self.tally.rate
        self.note(
            f"{self.tally.items} examined in {self.tally.seconds:.1f} s; all {pending:,} would take about {_duration(seconds)}"
        )
        self.note(f"drawn on {sheet}")

    def _compare(self) -> None:
        """Print boxes and cost without tiles and with them, side by side."""
        whole, both = self.tally.compared()
        table = Table("", "whole images", f"and up to {self.tally.tiles} x {self.tally.tiles} tiles")
        for label, number in both.labels.most_common(20):
            table.add_row(escape(label), f"{whole.labels[label]:,}", f"{number:,}")
        table.add_row("model runs an image", f"{whole.runs:.1f}", f"{both.runs:.1f}", style="bold")
        table.add_row("seconds of a worker an image", f"{whole.seconds:.3f}", f"{both.seconds:.3f}", style="bold")
        self._console.print(table)

    @override
    def ended(self, counts: Counts, advice: str) -> None:
        tally = self.tally
        if tally.items:
            self.note(
                f"{tally.items:,} examined in {_duration(tally.seconds)} ({tally.rate:.1f} a second), "
                f"models ran on {tally.computed:,} images; found: {self._labels(20)}"
            )
        if counts.pending:
            self.note(f"{counts.pending:,} are still pending")
        if advice:
            self.note(advice)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
