"""The revisions in force, in memory: the only part of corrections that predictions need."""

import threading

import structlog
from sqlalchemy import func, select

from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.revisions import Revision, history
from ml_backend.feedback.store.tables import revisions
from ml_backend.label_studio.project_id import parse_project_id
from ml_backend.postprocessing.overrides import NO_OVERRIDES, LabelOverrides

log = structlog.get_logger(__name__)

POLL_SECONDS = 2  # between looks for revisions of other processes


def set_aside_sentence(revision: Revision) -> str:
    """Return a sentence that a revision of another detector is set aside, and what to do."""
    return (
        f"{revision} belongs to another detector ({revision.detector}) and is set aside; when the annotations have been processed with this one, "
        f"press Start Training or run `prelabel calibrate --project {revision.project} --apply`"
    )


class CurrentRevisions:
    """The current revision of each project, in memory: reading it is free, and the database may become unavailable.

    Args:
        database: of the corrections.
        fingerprint: of the detector that predicts. Revisions of another detector are set aside, since its scores mean something else.
    """

    def __init__(self, database: Database, fingerprint: str) -> None:
        self._database = database
        self._detector = fingerprint[:8]
        self._by_project: dict[int, Revision] = {}
        self._away = False
        self._reading = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="revisions", daemon=True)

    def start(self) -> None:
        """Read the revisions, now and then regularly in a thread of its own."""
        self.refresh()
        self._thread.start()

    def close(self) -> None:
        """Stop the thread."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def overrides(self, project: str | None) -> LabelOverrides:
        """Return the overrides in force in a project, given as requests name it."""
        number = parse_project_id(project)
        revision = None if number is None else self._by_project.get(number)
        return revision.taught_to(self._detector) if revision else NO_OVERRIDES

    def set_aside(self) -> list[Revision]:
        """Return the current revisions of other detectors, which are not in force."""
        return [revision for revision in list(self._by_project.values()) if revision.is_aside(self._detector)]

    def of(self, project: int) -> Revision | None:
        """Return the current revision of a project."""
        return self._by_project.get(project)

    def refresh(self) -> None:
        """Read new revisions; if that fails, the known ones stay in force."""
        with self._reading:
            try:
                with self._database.reading() as connection:
                    newest = select(revisions.c.project, func.max(revisions.c.number)).group_by(revisions.c.project)
                    for project, number in connection.execute(newest).all() if connection is not None else []:
                        known = self._by_project.get(project)
                        if known is None or known.number != number:
                            revision = self._by_project[project] = history(connection, project)[-1]
                            if revision.is_aside(self._detector):
                                log.warning(set_aside_sentence(revision), project=project)
                self._away = False
            except Exception as error:  # predictions go on
                if not self._away:
                    log.warning("revisions cannot be read; the known ones stay in force", cause=str(error))
                self._away = True

    def _poll(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            self.refresh()
