"""Keeps connected projects current in Label Studio: scores, queue and stored predictions go by the version in force.

Label Studio's score column, its ordering and uncertainty sampling look at predictions whose version is the project's ``model_version``.
Connecting a model sets that field to the model's title, so the title has to be the version. A task opens with its newest stored
prediction, so each task with older predictions of ours is asked for again when the version changes.

Only the operator's own token is used, never one from ``/setup``. Label Studio calls ``/setup`` while it is asked, so all of this happens
in a thread of its own, and predictions depend on none of it.
"""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any

import structlog

from ml_backend.bootstrap.existing_tasks import is_ours
from ml_backend.errors import LabelConfigError, LabelStudioError
from ml_backend.feedback.learning.revisions import CurrentRevisions
from ml_backend.label_studio.client import NO_CLIENT, StudioClient, UncertainError
from ml_backend.label_studio.health import Finding
from ml_backend.label_studio.project_id import parse_project_id
from ml_backend.pipeline.postprocessors import PostprocessorCache
from ml_backend.projects.diagnosis import Connection, diagnose

log = structlog.get_logger(__name__)

PROJECTS = 200  # that are known at most; the ones longest silent are forgotten first
NEWEST = 100  # projects that are looked through at the start
PORTION = 20  # tasks that are asked for again at once: about a second of Label Studio, which others wait for
TICK_SECONDS = 0.5
SOON_SECONDS = 1  # after which a change is looked at: Label Studio still does what it called for
MIN_SECONDS = 5  # between two looks at a project, whoever asks for them
LATER_SECONDS = (
    30  # after which a change of ours is looked at again: a request that Label Studio had begun may have undone it
)
USUAL_SECONDS = 300  # between looks where nothing happens
MAX_SECONDS = 3600  # between tries that fail


@dataclass
class _Renewal:
    """Tasks that get newer predictions: those that went back to a version, then those without annotations, then the rest.

    Attributes:
        version: the one in force.
        returning: whether tasks are left that have this version from an earlier time, with newer predictions of others.
        of: how many there were at the beginning.
        asked: how many have been asked for.
        annotated: whether those without annotations are done.
        after: the last task that was asked for.
        due: when the next portion may be.
    """

    version: str
    returning: bool
    of: int
    asked: int = 0
    annotated: bool = False
    after: int = 0
    due: float = 0


@dataclass
class _Kept:
    """What is known of a project. Times are of the monotonic clock, in seconds.

    Attributes:
        number: its id.
        due: when it is looked at next.
        looked: when it was looked at last.
        tries: that have failed since the last one that did not.
        told: the version that ``/setup`` told last.
        revision: the number of its current revision.
        set: the version that was set in Label Studio last.
        replaced: whether it took the place of another version of ours.
        renewal: what goes on.
        renewed: the version that all tasks with predictions have, as far as it can be had.
        failed: tasks that keep older predictions, since predicting them failed.
        again: when those are asked for again.
        problem: why it cannot be looked at.
        findings: see :func:`diagnose`.
    """

    number: int
    due: float = float("inf")
    looked: float = -MIN_SECONDS
    tries: int = 0
    told: str = ""
    revision: int = 0
    set: str = ""
    replaced: bool = False
    renewal: _Renewal | None = None
    renewed: str = ""
    failed: int = 0
    again: float = 0
    problem: str = ""
    findings: tuple[Finding, ...] = ()

    def hurry(self) -> None:
        """Look at it soon."""
        self.due = min(self.due, max(monotonic() + SOON_SECONDS, self.looked + MIN_SECONDS))


_Work = Callable[[StudioClient, _Kept], str]  # gives why it could not be done


class ProjectUpkeep:
    """Looks after the projects that call, and those of the newest ones that have a version of ours.

    Args:
        client: Label Studio; None without a token.
        postprocessors: know the version in force.
        revisions: in force.
        keeps: whether projects are changed, not only diagnosed (``PRELABEL_KEEP_PROJECTS_CURRENT``).
    """

    def __init__(
        self,
        client: StudioClient | None,
        postprocessors: PostprocessorCache,
        revisions: CurrentRevisions,
        *,
        keeps: bool,
    ) -> None:
        self._client = client
        self._keeps = keeps
        self._postprocessors = postprocessors
        self._revisions = revisions
        self._projects: OrderedDict[int, _Kept] = OrderedDict()
        self._lock = threading.Lock()  # of the dictionary
        self._found = False  # whether the newest projects have been looked through
        self._ended = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        # Label Studio may take a minute to answer, and nobody waits for that at the end.
        self._thread = threading.Thread(target=self._work, name="upkeep", daemon=True)

    def start(self) -> None:
        """Begin; to be called on the event loop that the policies belong to."""
        if self._client is not None:
            self._loop = asyncio.get_running_loop()
            self._thread.start()

    async def close(self) -> None:
        """End, without waiting for Label Studio."""
        self._ended.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, 1)

    def called(self, project: str | None, version: str) -> None:
        """Take note that Label Studio was told a version, which it asks for before each prediction."""
        number = parse_project_id(project)
        if number is not None:
            kept = self._of(number)
            if kept.told != version:
                kept.told = version
                kept.hurry()

    def changed(self, project: int) -> None:
        """Take note that a project was changed in Label Studio, as an event says, which anybody can send: one that is not known stays so."""
        with self._lock:
            kept = self._projects.get(project)
        if kept is not None:
            kept.hurry()

    def look_again(self) -> None:
        """Look at all projects soon, since somebody wants to know."""
        for kept in self._all():
            kept.hurry()

    def state(self, project: str) -> dict[str, Any]:
        """Return what is known of a project, as plain JSON values, for people."""
        number = parse_project_id(project)
        with self._lock:
            kept = None if number is None else self._projects.get(number)
        if self._client is None:
            return {"problem": f"whether the queue goes by its scores is not known: {NO_CLIENT}", "findings": []}
        if kept is None:
            return {"problem": "", "findings": []}
        renewal = kept.renewal
        return {
            "problem": kept.problem,
            "findings": [{"ok": each.ok, "sentence": each.sentence} for each in kept.findings],
            "renewal": {"version": renewal.version, "asked": renewal.asked, "of": renewal.of} if renewal else None,
            "failed": kept.failed,
        }

    def _of(self, number: int) -> _Kept:
        with self._lock:
            kept = self._projects.setdefault(number, _Kept(number))
            self._projects.move_to_end(number)
            if len(self._projects) > PROJECTS:
                self._projects.popitem(last=False)
            return kept

    def _all(self) -> list[_Kept]:
        with self._lock:
            return list(self._projects.values())

    def _work(self) -> None:
        assert self._client is not None  # noqa: S101 - the thread starts only with one
        unknown = _Kept(0, due=0)  # stands for the projects that have not called yet
        while not self._ended.wait(TICK_SECONDS):
            if not self._found and unknown.due <= monotonic():
                self._look(unknown, self._find)
            for kept in self._all():
                if self._ended.is_set():
                    return
                revision = self._revisions.of(kept.number)
                if revision is not None and revision.number != kept.revision:
                    kept.revision = revision.number
                    kept.hurry()
                if kept.due <= monotonic():
                    self._look(kept, self._keep)
                elif kept.renewal is not None and kept.renewal.due <= monotonic():
                    renewal = kept.renewal
                    if pause := self._try(kept, partial(self._renew, renewal=renewal)):
                        renewal.due = monotonic() + pause

    def _look(self, kept: _Kept, work: _Work) -> None:
        kept.due, kept.looked = float("inf"), monotonic()  # whoever hurries from now on is not overheard
        pause = self._try(kept, work)
        kept.due = min(kept.due, monotonic() + (pause or USUAL_SECONDS))

    def _try(self, kept: _Kept, work: _Work) -> float:
        """Do something for a project; gives the seconds until the next try, where that fails, else 0."""
        assert self._client is not None  # noqa: S101 - as above
        try:
            kept.problem = work(self._client, kept)
        except (LabelStudioError, UncertainError) as error:
            kept.problem = str(error)
        except Exception as error:  # whatever it is, the other projects are looked after
            if not self._ended.is_set():
                log.exception("looking after a project failed unexpectedly", project=kept.number)
            kept.problem = f"an error inside Prelabel ({type(error).__name__}); its log has the details"
        kept.tries = kept.tries + 1 if kept.problem else 0
        if kept.tries == 2:  # a first failure is usual while a model is being connected
            log.warning("a project cannot be kept current now", project=kept.number, cause=kept.problem)
        return min(SOON_SECONDS * 2.0**kept.tries, MAX_SECONDS) if kept.problem else 0

    def _find(self, client: StudioClient, _: _Kept) -> str:
        """Look for projects that go by a version of ours: with a new detector, their predictions are older ones."""
        for project in client.newest_projects(NEWEST):
            if is_ours(str(project.model_version)):
                self._of(project.id).hurry()
        self._found = True
        return ""

    def _keep(self, client: StudioClient, kept: _Kept) -> str:
        """Look at a project, change what is to be changed, and say what is wrong; gives why that cannot be done."""
        connection = Connection.read(client, kept.number)
        version = self._version_in_force(connection.project)
        if version is None:
            kept.findings, kept.renewal = (), None
            return ""
        if self._keeps and self._set_version(client, connection, version, kept):
            connection = Connection.read(client, kept.number)
            kept.due = min(kept.due, monotonic() + LATER_SECONDS)
        kept.findings = tuple(diagnose(connection, version, keeps=self._keeps))
        if not connection.ours(version):
            kept.renewal = None
            # Imported predictions alone give a project a version of ours: it need not have a model.
            return kept.findings[0].sentence if kept.told else ""
        if not self._keeps or not connection.asks(version):
            kept.renewal = None
        elif not kept.renewal or kept.renewal.version != version:
            self._begin_renewal(client, version, kept)
        return ""

    def _version_in_force(self, project: Any) -> str | None:
        """Return the version of predictions under a project's label config; None where that cannot be served."""
        assert self._loop is not None  # noqa: S101 - the thread starts only with one
        if self._ended.is_set():
            return None
        deciding = self._postprocessors.decide(str(project.label_config), str(project.id))
        try:
            return self._postprocessors.version_of(asyncio.run_coroutine_threadsafe(deciding, self._loop).result(30))
        except LabelConfigError:
            return None

    def _set_version(self, client: StudioClient, connection: Connection, version: str, kept: _Kept) -> bool:
        """Make scores and queue go by a version, unless somebody chose another; tells whether something was changed."""
        project, chosen = connection.project, connection.chosen(version)
        if not project.show_collab_predictions or (chosen and chosen != kept.set):
            return False
        outdated = [backend for backend in connection.ours(version) if backend.title != version]
        if not outdated and (project.model_version == version or not connection.ours(version)):
            return False
        for backend in outdated:
            client.rename_backend(backend, version)
        if client.project(kept.number).model_version != version:
            client.set_model_version(kept.number, version)
        kept.set, kept.replaced = version, kept.replaced or is_ours(str(project.model_version))
        log.info(
            "scores and queue of Label Studio go by the version in force", project=kept.number, model_version=version
        )
        return True

    def _begin_renewal(self, client: StudioClient, version: str, kept: _Kept) -> None:
        if kept.renewed == version and not (kept.failed and kept.again <= monotonic()):
            return
        count = self._outdated(client, kept.number, version)
        if kept.replaced:
            count += client.tasks_with_others(kept.number, version, after=0, count=1)[1]
        if count:
            log.info("renewing older predictions", project=kept.number, tasks=count, model_version=version)
            kept.renewal = _Renewal(version, kept.replaced, count)
        else:
            kept.renewal, kept.renewed = None, version
        kept.failed, kept.replaced = 0, False

    def _renew(self, client: StudioClient, kept: _Kept, renewal: _Renewal) -> str:
        """Do a portion, and leave Label Studio alone for as long as that took."""
        began = monotonic()
        tasks = self._show_again(client, kept, renewal) if renewal.returning else self._ask_again(client, kept, renewal)
        renewal.asked += len(tasks)
        if tasks:
            renewal.after = max(tasks)
            renewal.due = 2 * monotonic() - began
        elif renewal.returning:
            renewal.returning, renewal.after = False, 0
        elif not renewal.annotated:
            renewal.annotated, renewal.after = True, 0
        else:
            kept.failed = self._outdated(client, kept.number, renewal.version)
            kept.renewal, kept.renewed, kept.again = None, renewal.version, monotonic() + MAX_SECONDS
            log.info("renewed older predictions", project=kept.number, tasks=renewal.asked, failed=kept.failed)
        return ""

    @staticmethod
    def _show_again(client: StudioClient, kept: _Kept, renewal: _Renewal) -> Collection[int]:
        """Copy predictions of a version that is in force again: Label Studio has them, and so does not ask, but shows newer ones."""
        tasks, _ = client.tasks_with_others(kept.number, renewal.version, after=renewal.after, count=PORTION)
        rows = [_copy(task, renewal.version) for task in client.tasks_by_id(kept.number, list(tasks))]
        if copies := [row for row in rows if row is not None]:
            client.add_predictions(kept.number, copies)
        return tasks

    @staticmethod
    def _ask_again(client: StudioClient, kept: _Kept, renewal: _Renewal) -> Collection[int]:
        """Let Label Studio ask for tasks that have predictions of ours, but not of the version in force."""
        tasks, _ = client.outdated_tasks(
            kept.number, renewal.version, annotated=renewal.annotated, after=renewal.after, count=PORTION
        )
        if ours := [number for number, versions in tasks.items() if any(map(is_ours, versions))]:
            client.retrieve_predictions(kept.number, ours)
        return tasks

    @staticmethod
    def _outdated(client: StudioClient, project: int, version: str) -> int:
        """Return how many tasks have predictions of ours, but none of a version."""
        return sum(
            client.outdated_tasks(project, version, annotated=annotated, after=0, count=1)[1]
            for annotated in (False, True)
        )


def _copy(task: Mapping[str, Any], version: str) -> dict[str, Any] | None:
    """Return a task's prediction of a version as a new one, or None where it is the newest of ours."""
    ours = sorted(
        (each for each in task["predictions"] if is_ours(str(each["model_version"]))), key=lambda each: int(each["id"])
    )
    same = [each for each in ours if each["model_version"] == version]
    if not same or ours[-1]["model_version"] == version:
        return None
    return {"task": task["id"], "model_version": version, "result": same[-1]["result"], "score": same[-1]["score"]}
