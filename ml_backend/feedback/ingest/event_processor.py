"""Processes queued events project by project, and postpones those that cannot be processed now."""

import itertools
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import TypeVar

import structlog

from ml_backend.errors import LabelStudioError
from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.event_queue import QueuedEvent, delete_processed, postpone
from ml_backend.feedback.store.threads import WritingThread
from ml_backend.label_studio.client import GoneError, UncertainError

log = structlog.get_logger(__name__)
T = TypeVar("T")

PORTION = 20  # tasks that are read from Label Studio at once: their ids stand in the address
MAX_TRIES = 30  # of events about a project that is gone: about a day

Postponed = tuple[QueuedEvent, str]
"""An event to try again, and why; the reason is empty for one that needs no attention."""

Handler = Callable[[Sequence[QueuedEvent]], Awaitable[list[Postponed]]]
"""Processes events of one project; returns those to try again."""


@dataclass(frozen=True)
class EventProcessor:
    """Processes queued events.

    Attributes:
        database: of the corrections.
        thread: the one that writes to it.
        handle: of ``ReadBack`` or ``TrustedEvents``.
    """

    database: Database
    thread: WritingThread
    handle: Handler

    async def process(self, events: Sequence[QueuedEvent]) -> None:
        """Process events project by project. Events that fail are postponed.

        Raises:
            FeedbackError: the database cannot be used.
        """
        by_project = attrgetter("project")
        for _, group in itertools.groupby(sorted(events, key=by_project), key=by_project):
            for portion in portions(list(group)):
                await self._process(portion)

    async def _process(self, events: Sequence[QueuedEvent]) -> None:
        """Process events of one project."""
        try:
            for event, problem in await self.handle(events):
                await self._postpone([event], problem)
        except (LabelStudioError, UncertainError) as error:
            gone = [each for each in events if isinstance(error, GoneError) and each.tries >= MAX_TRIES]
            if gone:
                log.warning("events of a project that is gone are dropped", project=gone[0].project, cause=str(error))
                await self.thread.run(partial(self._delete, gone))
            await self._postpone([each for each in events if each not in gone], str(error))
        except Exception as error:  # an unexpected error in one event must not hold up all others
            if len(events) > 1:
                for half in (events[: len(events) // 2], events[len(events) // 2 :]):
                    await self._process(half)
            else:
                log.exception("event could not be processed", project=events[0].project)
                await self._postpone(events, f"an error inside Prelabel: {error!r}")

    def _delete(self, events: Sequence[QueuedEvent]) -> None:
        with self.database.writing() as connection:
            for each in events:
                connection.execute(delete_processed(each))

    async def _postpone(self, events: Sequence[QueuedEvent], problem: str) -> None:
        if events and problem:
            log.warning("events are postponed", project=events[0].project, objects=len(events), cause=problem)
        await self.thread.run(partial(postpone, self.database, events, problem))


def portions(items: Sequence[T]) -> Iterable[list[T]]:
    """Yield lists of at most :data:`PORTION` items."""
    for start in range(0, len(items), PORTION):
        yield list(items[start : start + PORTION])
