"""What Label Studio says of a project, with the operator's token: asked in threads of its own, and waited for within a bound."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic

import structlog

from ml_backend.errors import LabelStudioError
from ml_backend.label_studio.client import Progress, StudioClient, UncertainError
from ml_backend.server.pages.daemons import Daemons

log = structlog.get_logger(__name__)

PROJECTS = 8  # whose facts are kept
KEPT_SECONDS = 30
WAIT_SECONDS = 4  # for an answer; what comes later is there for the next request
ANSWER_SECONDS = 10  # for each request to Label Studio, which ends the thread that waits
LATE = f"Label Studio has not answered within {WAIT_SECONDS} s"
UNKNOWN = "The progress of tasks is known where LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY are set."


@dataclass(frozen=True)
class StudioFacts:
    """What Label Studio says of a project.

    Attributes:
        progress: of its tasks; None if unknown.
        names: of users, by id.
        problem: a sentence on why something is unknown; empty for none.
        until: time of the monotonic clock, in seconds, until which it counts.
    """

    progress: Progress | None = None
    names: Mapping[int, str] = field(default_factory=dict)
    problem: str = ""
    until: float = 0


class StudioQuestions:
    """Asks Label Studio about projects.

    Args:
        client: Label Studio; None without a token.
    """

    def __init__(self, client: StudioClient | None) -> None:
        self._client = client
        self._threads = Daemons(2, "studio-facts")
        self._kept: OrderedDict[int, StudioFacts] = OrderedDict()
        self._running: dict[int, asyncio.Future[StudioFacts]] = {}

    async def about(self, project: int) -> StudioFacts:
        """Return the facts on a project, within :data:`WAIT_SECONDS`; never raises."""
        if self._client is None:
            return StudioFacts(problem=UNKNOWN)
        kept = self._kept.get(project)
        if kept is not None and monotonic() < kept.until:
            return kept
        if project not in self._running:
            asking = asyncio.get_running_loop().run_in_executor(self._threads, self._ask, self._client, project)
            self._running[project] = asking
            asking.add_done_callback(lambda done: self._ended(project, done))
        running = self._running[project]
        done, _ = await asyncio.wait([running], timeout=WAIT_SECONDS)
        if done and not running.cancelled() and running.exception() is None:
            return running.result()
        return StudioFacts(kept.progress, kept.names, LATE) if kept else StudioFacts(problem=f"{LATE}.")

    def _ask(self, client: StudioClient, project: int) -> StudioFacts:
        progress, names, problem = None, {}, ""
        try:
            progress = client.progress(project)
            names = client.user_names()
        except (LabelStudioError, UncertainError) as error:
            problem = f"{str(error).partition('; what is done is kept')[0]}."
        except Exception as error:  # answers of other versions of Label Studio can have other forms
            log.exception("asking Label Studio about a project failed unexpectedly", project=project)
            problem = f"What Label Studio answers cannot be read ({type(error).__name__}); the log has the details."
        return StudioFacts(progress, names, problem, monotonic() + KEPT_SECONDS)

    def _ended(self, project: int, done: asyncio.Future[StudioFacts]) -> None:
        del self._running[project]
        if done.cancelled() or done.exception() is not None:
            return
        self._kept[project] = done.result()
        self._kept.move_to_end(project)
        if len(self._kept) > PROJECTS:
            self._kept.popitem(last=False)

    def close(self) -> None:
        """Ask nothing more, without waiting for Label Studio."""
        self._threads.shutdown(wait=False)
