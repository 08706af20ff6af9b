"""Reporters of a bulk job: a progress bar, JSON lines, or silence."""

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from typing_extensions import override

from ml_backend.bootstrap.checkpoint import Counts
from ml_backend.bootstrap.items import Outcome
from ml_backend.bootstrap.job import Reporter
from ml_backend.bootstrap.survey import Surveyed
from ml_backend.bootstrap.tally import Tally
from ml_backend.errors import BootstrapError

EVERY = 1.0  # seconds between two reports
RATE_OVER = 60.0  # seconds


class OutputClosedError(BootstrapError):
    """The reader of standard output has gone, as after ``| head -1``; recorded outcomes are kept."""


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
