"""The stages of a request: each is measured once, for the histogram at ``/metrics`` and for the trace.

For one task the stages follow each other, and their sum is the time that a client waits (``docs/monitoring.md``).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from time import perf_counter
from types import TracebackType
from typing import Any, Literal, Self

import msgspec
import numpy as np
from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from ml_backend.tracing import RequestTrace, current_trace, mark_failed

StageName = Literal[
    "receive",
    "parse",
    "prepare",
    "cache",
    "queue_request",
    "queue_images",
    "fetch",
    "queue_worker",
    "decode",
    "inference",
    "queue_shared",
    "postprocess",
    "answer",
]

STAGES: dict[StageName, str] = {
    "receive": "the body arrives",
    "parse": "the body is parsed",
    "prepare": "the label config is read, or found among the latest ones, and the request is split into tasks",
    "cache": "versions of images and results of models are read or written; with Redis, also waiting for another server that computes them",
    "queue_request": "waiting for a place among the images of the request",
    "queue_images": "waiting for a place among the images in memory",
    "fetch": "the image is fetched, or its server says that it is unchanged",
    "queue_worker": "waiting for a worker",
    "decode": "the image is decoded",
    "inference": "a model runs, on the image or on a tile of it",
    "queue_shared": "waiting for another task that computes the same image",
    "postprocess": "other requests get their turn, then detections and probabilities become regions, in JSON",
    "answer": "outcomes are counted, and the answer is handed to the connection",
}
"""The stages in their order, with what happens in each."""

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0)
"""Upper bounds of the histograms, up to the deadline of Label Studio."""

COUNTED_AT_ONCE = 1000  # durations; 20 ns each so, and 200 ns one by one


class Durations:
    """A histogram of seconds that costs little when a stage ends, since a task with a known image takes 0.3 ms.

    Attributes:
        new: seconds that are not counted yet; anybody may append.
    """

    def __init__(self) -> None:
        self.new: deque[float] = deque()
        self._lock = threading.Lock()
        self._counts = np.zeros(len(SECONDS) + 1, np.int64)
        self._sum = 0.0

    def count(self) -> None:
        """Count what is new."""
        with self._lock:
            new = np.array([self.new.popleft() for _ in range(len(self.new))])
            # As in Prometheus, an upper bound belongs to its own bucket.
            self._counts += np.bincount(np.searchsorted(SECONDS, new), minlength=len(self._counts))
            self._sum += float(new.sum())

    def read(self) -> tuple[list[tuple[str, float]], float]:
        """Return the number of durations up to each upper bound, as Prometheus has them, and the sum in seconds."""
        self.count()
        with self._lock:
            counts, total = self._counts.cumsum().tolist(), self._sum
        return list(zip([*map(str, SECONDS), "+Inf"], counts, strict=True)), total


class Stage(msgspec.Struct, gc=False):  # measuring takes 0.49 µs so, and 0.55 with a plain class
    """One stage, once: a context manager, or from :meth:`begin` to :meth:`end` where no block fits. One that never ends is not counted."""

    _durations: Durations
    _started: float = 0.0

    def __enter__(self) -> Self:
        self._started = perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        new = self._durations.new
        new.append(perf_counter() - self._started)
        if len(new) >= COUNTED_AT_ONCE:
            self._durations.count()

    def begin(self) -> Self:
        """Begin the stage; gives itself."""
        return self.__enter__()

    def end(self) -> None:
        """End the stage."""
        self.__exit__(None, None, None)


class TracedStage(Stage, kw_only=True):
    """A stage with a span in the trace of its request."""

    _trace: RequestTrace
    _name: StageName
    _image: object
    _span: Any = None

    @override
    def __enter__(self) -> Self:
        self._span = self._trace.stage(self._name, self._image)
        return super().__enter__()

    @override
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if self._span is not None:
            if error is not None:
                mark_failed(self._span, error)
            self._span.end()


class Stages(Collector):
    """The durations of all stages, for a registry of metrics."""

    def __init__(self) -> None:
        self._durations = {name: Durations() for name in STAGES}

    def stage(self, name: StageName, image: object = None) -> Stage:
        """Return a stage that has not begun.

        Args:
            name: of the stage.
            image: the reference of the image that it works on, for its span.
        """
        trace = current_trace.get()
        durations = self._durations[name]
        return Stage(durations) if trace is None else TracedStage(durations, _trace=trace, _name=name, _image=image)

    def collect(self) -> Iterable[Metric]:
        """Give the histogram to a registry."""
        family = HistogramMetricFamily(
            "prelabel_stage_seconds",
            f"Duration of a stage of the way of a task: {', '.join(STAGES)}.",
            labels=["stage"],
        )
        for name, durations in self._durations.items():
            buckets, total = durations.read()
            family.add_metric([name], buckets, total)
        return [family]

    describe = collect
