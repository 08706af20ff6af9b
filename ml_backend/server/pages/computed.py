"""Values of projects that take long to compute: shared by simultaneous requests, and kept until something changed."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Generic, TypeVar

import structlog

from ml_backend.errors import PrelabelError
from ml_backend.feedback.learning.project_report import ProjectState

log = structlog.get_logger(__name__)

T = TypeVar("T")

PROJECTS = 8  # whose values are kept; the ones longest unused are forgotten first
REST = 4  # times as long as a computation took, before the next one because of new annotations: at most a fifth of one processor
SHORT_SECONDS = 1  # that a request waits for new values where there are earlier ones


@dataclass(frozen=True)
class Made(Generic[T]):
    """A value, and the state of the project that it was made from.

    Attributes:
        value: itself.
        state: of the project.
        at: time of the state, UTC, hours, minutes and seconds.
        until: time of the monotonic clock, in seconds, before which new annotations alone cause no new computation.
    """

    value: T
    state: ProjectState
    at: str
    until: float


class Computed(Generic[T]):
    """Computes a value of each project in a thread.

    Args:
        compute: returns the value of a project, by its id, and the state that it was made from.
        threads: where that runs.
    """

    def __init__(self, compute: Callable[[int], tuple[ProjectState, T]], threads: Executor) -> None:
        self._compute = compute
        self._threads = threads
        self._kept: OrderedDict[int, Made[T]] = OrderedDict()
        self._running: dict[int, asyncio.Task[Made[T]]] = {}

    def kept(self, project: int) -> Made[T] | None:
        """Return the value that was computed last, whatever has changed since; None for none."""
        return self._kept.get(project)

    async def get(self, state: ProjectState, wait: float) -> Made[T] | None:
        """Return the value of a project, if it can be had in time.

        An earlier value stands in for a new one that takes longer, or is not due yet, unless label config, revision or detector are
        others now.

        Args:
            state: of the project now.
            wait: seconds.

        Raises:
            PrelabelError: it cannot be computed.
        """
        kept = self._kept.get(state.project.id)
        if kept is not None:
            self._kept.move_to_end(state.project.id)
            if kept.state.version == state.version:
                return kept
            if kept.state.basis != state.basis:
                kept = None
            elif monotonic() < kept.until:
                return kept
        running = self._begin(state.project.id)
        done, _ = await asyncio.wait([running], timeout=wait if kept is None else min(wait, SHORT_SECONDS))
        return running.result() if done else kept

    async def exact(self, state: ProjectState) -> Made[T]:
        """Return the value of a state, or of a later one; waits as long as that takes.

        Raises:
            PrelabelError: it cannot be computed.
        """
        kept = self._kept.get(state.project.id)
        if kept is not None and kept.state.version == state.version:
            return kept
        made = await asyncio.shield(self._begin(state.project.id))
        if made.state.version == state.version:
            return made
        return await asyncio.shield(self._begin(state.project.id))  # the first one had begun before

    def _begin(self, project: int) -> asyncio.Task[Made[T]]:
        """Return the running computation of a project, or a new one."""
        if project not in self._running:
            task = self._running[project] = asyncio.create_task(self._make(project))
            task.add_done_callback(lambda done: self._ended(project, done))
        return self._running[project]

    async def _make(self, project: int) -> Made[T]:
        started, at = monotonic(), datetime.now(UTC)
        state, value = await asyncio.get_running_loop().run_in_executor(self._threads, self._compute, project)
        ended = monotonic()
        made = self._kept[project] = Made(value, state, f"{at:%H:%M:%S}", ended + REST * (ended - started))
        self._kept.move_to_end(project)
        if len(self._kept) > PROJECTS:
            self._kept.popitem(last=False)
        return made

    def _ended(self, project: int, done: asyncio.Task[Made[T]]) -> None:
        del self._running[project]
        error = None if done.cancelled() else done.exception()
        if error is not None and not isinstance(error, PrelabelError):
            log.error("the figures of a project cannot be computed", project=project, exc_info=error)

    async def close(self) -> None:
        """Wait for no computation any more."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
