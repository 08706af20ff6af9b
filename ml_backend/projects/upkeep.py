"""Keeps connected projects current in Label Studio: scores, queue and stored predictions use the model version in force.

Label Studio's score column, ordering and uncertainty sampling use the predictions of the project's ``model_version``, and tasks open with
them. Connecting a model sets that field to the model's title, so the title has to be the version. Tasks with older predictions only are
predicted again when the version changes.

Only the operator's token is used, never one from ``/setup``. Label Studio calls ``/setup`` before it answers, so all of this runs in a
thread of its own. Predictions do not depend on it.
"""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

import structlog

from ml_backend.errors import LabelConfigError, LabelStudioError
from ml_backend.feedback.learning.revisions import CurrentRevisions
from ml_backend.label_studio.client import NO_CLIENT, StudioClient, UncertainError
from ml_backend.label_studio.health import Finding
from ml_backend.label_studio.project_id import parse_project_id
from ml_backend.pipeline.model_version import is_ours
from ml_backend.pipeline.postprocessors import PostprocessorCache
from ml_backend.projects.diagnosis import Connection, diagnose
from ml_backend.projects.renewal import Renewal, count_outdated

log = structlog.get_logger(__name__)

PROJECTS = 200  # at most; the ones longest silent are forgotten first
NEWEST = 100  # projects that are searched at the start
TICK_SECONDS = 0.5
SOON_SECONDS = 1  # before a change is checked: Label Studio is still busy with the request that told of it
MIN_SECONDS = 5  # between checks of a project
LATER_SECONDS = 30  # before a change of ours is checked again: a request that had begun before may have undone it
USUAL_SECONDS = 300  # between checks where nothing happens
MAX_SECONDS = 3600  # between tries that fail


@dataclass
class _ProjectState:
    """The state of a project. Times are of the monotonic clock, in seconds.

    Attributes:
        number: its id.
        due: when it is checked next.
        checked: when it was checked last.
        tries: failed tries since the last success.
        told: the version that ``/setup`` told last.
        revision: number of its current revision.
        set: the version that was set in Label Studio last.
        renewal: of its predictions, while one is going on.
        renewed: the version to which predictions were renewed last.
        failed: tasks that keep older predictions, since predicting them failed.
        again: when those are predicted again.
        problem: why it cannot be checked.
        findings: see :func:`diagnose`.
    """

    number: int
    due: float = float("inf")
    checked: float = -MIN_SECONDS
    tries: int = 0
    told: str = ""
    revision: int = 0
    set: str = ""
    renewal: Renewal | None = None
    renewed: str = ""
    failed: int = 0
    again: float = 0
    problem: str = ""
    findings: tuple[Finding, ...] = ()

    def hurry(self) -> None:
        """Check it soon."""
        self.due = min(self.due, max(monotonic() + SOON_SECONDS, self.checked + MIN_SECONDS))


_Work = Callable[[StudioClient, _ProjectState], str]
"""Some work on a project; returns why it could not be done, or an empty text."""


class ProjectUpkeep:
    """Keeps projects current: those that call, and those of the newest ones whose model version is of Prelabel.

    Args:
        client: Label Studio; None without a token.
        postprocessors: know the version in force.
        revisions: in force.
        keeps: whether projects are changed, not only diagnosed (``PRELABEL_KEEP_PROJECTS_CURRENT``).
        leads: whether this service renews predictions, of those that share the database: two would make each one twice.
    """

    def __init__(
        self,
        client: StudioClient | None,
        postprocessors: PostprocessorCache,
        revisions: CurrentRevisions,
        *,
        keeps: bool,
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        self._client = client
        self._keeps = keeps
        self._leads = leads
        self._postprocessors = postprocessors
        self._revisions = revisions
        self._projects: OrderedDict[int, _ProjectState] = OrderedDict()
        self._lock = threading.Lock()  # of the dictionary
        self._searched = False  # whether the newest projects have been searched
        self._ended = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        # A daemon: Label Studio may take a minute to answer, which must not delay the end of the process.
        self._thread = threading.Thread(target=self._work, name="upkeep", daemon=True)

    def start(self) -> None:
        """Start the thread; to be called on the event loop of the pipeline."""
        if self._client is not None:
            self._loop = asyncio.get_running_loop()
            self._thread.start()

    async def close(self) -> None:
        """Stop, without waiting for Label Studio."""
        self._ended.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, 1)

    def called(self, project: str | None, version: str) -> None:
        """Note the version that ``/setup`` told Label Studio, which asks for it before each prediction."""
        number = parse_project_id(project)
        if number is not None:
            state = self._of(number)
            if state.told != version:
                state.told = version
                state.hurry()

    def changed(self, project: int) -> None:
        """Check a project soon that was changed in Label Studio, if it is known: anybody can send such an event."""
        with self._lock:
            state = self._projects.get(project)
        if state is not None:
            state.hurry()

    def check_soon(self) -> None:
        """Check all projects soon."""
        for state in self._all():
            state.hurry()

    def state(self, project: str) -> dict[str, Any]:
        """Return the state of a project as plain JSON values, for the status page."""
        number = parse_project_id(project)
        with self._lock:
            state = None if number is None else self._projects.get(number)
        if self._client is None:
            return {"problem": f"The project's queue cannot be checked: {NO_CLIENT}.", "findings": []}
        if state is None:
            return {"problem": "", "findings": []}
        renewal = state.renewal
        return {
            "problem": state.problem,
            "findings": [{"ok": each.ok, "sentence": each.sentence} for each in state.findings],
            "renewal": {"version": renewal.version, "asked": renewal.asked, "of": renewal.total} if renewal else None,
            "failed": state.failed,
        }

    def _of(self, number: int) -> _ProjectState:
        with self._lock:
            state = self._projects.setdefault(number, _ProjectState(number))
            self._projects.move_to_end(number)
            if len(self._projects) > PROJECTS:
                self._projects.popitem(last=False)
            return state

    def _all(self) -> list[_ProjectState]:
        with self._lock:
            return list(self._projects.values())

    def _work(self) -> None:
        assert self._client is not None  # noqa: S101 - the thread starts only with one
        unknown = _ProjectState(0, due=0)  # stands for the search among the newest projects
        led = False
        while not self._ended.wait(TICK_SECONDS):
            leads = self._leads()
            if leads and not led:  # the service that led before may have left a renewal
                self.check_soon()
            led = leads
            if not self._searched and unknown.due <= monotonic():
                self._do(unknown, self._search)
            for state in self._all():
                if self._ended.is_set():
                    return
                revision = self._revisions.of(state.number)
                if revision is not None and revision.number != state.revision:
                    state.revision = revision.number
                    state.hurry()
                if state.due <= monotonic():
                    self._do(state, self._check)
                elif leads and state.renewal is not None and state.renewal.due <= monotonic():
                    renewal = state.renewal
                    if pause := self._try(state, self._renew):
                        renewal.due = monotonic() + pause

    def _do(self, state: _ProjectState, work: _Work) -> None:
        """Do some work now, and schedule it again."""
        state.due, state.checked = float("inf"), monotonic()  # a hurry during the work brings the next check forward
        pause = self._try(state, work)
        state.due = min(state.due, monotonic() + (pause or USUAL_SECONDS))

    def _try(self, state: _ProjectState, work: _Work) -> float:
        """Do some work; returns the seconds until the next try where it failed, else 0."""
        assert self._client is not None  # noqa: S101 - as above
        try:
            state.problem = work(self._client, state)
        except (LabelStudioError, UncertainError) as error:
            state.problem = str(error)
        except Exception as error:  # an unexpected error in one project must not hold up the others
            if not self._ended.is_set():
                log.exception("keeping a project current failed unexpectedly", project=state.number)
            state.problem = f"an error inside Prelabel ({type(error).__name__}); its log has the details"
        state.tries = state.tries + 1 if state.problem else 0
        if state.tries == 2:  # a first failure is usual while a model is being connected
            log.warning("a project cannot be kept current now", project=state.number, cause=state.problem)
        return min(SOON_SECONDS * 2.0**state.tries, MAX_SECONDS) if state.problem else 0

    def _search(self, client: StudioClient, _: _ProjectState) -> str:
        """Search projects with a version of Prelabel: after a change of the detector, their predictions are outdated."""
        for project in client.newest_projects(NEWEST):
            if is_ours(str(project.model_version)):
                self._of(project.id).hurry()
        self._searched = True
        return ""

    def _check(self, client: StudioClient, state: _ProjectState) -> str:
        """Set a project's version, diagnose it, and begin to renew its predictions; returns why that is impossible."""
        connection = Connection.read(client, state.number)
        version = self._version_in_force(connection.project)
        if version is None:
            state.findings, state.renewal = (), None
            return ""
        if self._keeps and self._set_version(client, connection, version, state):
            connection = Connection.read(client, state.number)
            state.due = min(state.due, monotonic() + LATER_SECONDS)
        state.findings = tuple(diagnose(connection, version, keeps=self._keeps))
        if not connection.ours(version):
            state.renewal = None
            # Imported predictions alone give a project a version of Prelabel: it need not have a model.
            return state.findings[0].sentence if state.told else ""
        if not self._keeps or not connection.asks(version) or not self._leads():
            state.renewal = None
        elif not state.renewal or state.renewal.version != version:
            self._begin_renewal(client, version, state)
        return ""

    def _version_in_force(self, project: Any) -> str | None:
        """Return the model version under a project's label config; None for one that cannot be served."""
        assert self._loop is not None  # noqa: S101 - the thread starts only with one
        if self._ended.is_set():
            return None
        deciding = self._postprocessors.load(str(project.label_config), str(project.id))
        try:
            return self._postprocessors.version_of(asyncio.run_coroutine_threadsafe(deciding, self._loop).result(30))
        except LabelConfigError:
            return None

    def _set_version(self, client: StudioClient, connection: Connection, version: str, state: _ProjectState) -> bool:
        """Make scores and queue use a version, unless somebody chose another; returns whether something was changed."""
        project, chosen = connection.project, connection.chosen(version)
        if not project.show_collab_predictions or (chosen and chosen != state.set):
            return False
        outdated = [backend for backend in connection.ours(version) if backend.title != version]
        if not outdated and (project.model_version == version or not connection.ours(version)):
            return False
        for backend in outdated:
            client.rename_backend(backend, version)
        if client.project(state.number).model_version != version:
            client.set_model_version(state.number, version)
        state.set = version
        log.info(
            "scores and queue of Label Studio use the version in force", project=state.number, model_version=version
        )
        return True

    def _begin_renewal(self, client: StudioClient, version: str, state: _ProjectState) -> None:
        """Begin to renew older predictions, unless that is done, or failed lately."""
        if state.renewed == version and not (state.failed and state.again <= monotonic()):
            return
        state.failed = 0
        if count := count_outdated(client, state.number, version):
            log.info("renewing older predictions", project=state.number, tasks=count, model_version=version)
            state.renewal = Renewal(state.number, version, count)
        else:
            state.renewal, state.renewed = None, version

    def _renew(self, client: StudioClient, state: _ProjectState) -> str:
        """Renew the next portion of older predictions."""
        renewal = state.renewal
        if renewal is not None and renewal.step(client):
            state.failed = count_outdated(client, state.number, renewal.version)
            state.renewal, state.renewed, state.again = None, renewal.version, monotonic() + MAX_SECONDS
            log.info("renewed older predictions", project=state.number, tasks=renewal.asked, failed=state.failed)
        return ""
