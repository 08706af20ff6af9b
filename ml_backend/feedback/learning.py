"""From the corrections of a project to a revision: the same for ``prelabel calibrate`` and for Start Training."""

from dataclasses import dataclass

from ml_backend.feedback.calibration import Proposal, propose
from ml_backend.feedback.database import Database
from ml_backend.feedback.facts import Project, annotations_of, get_project
from ml_backend.feedback.revisions import Revision, apply, history
from ml_backend.labels import NOTHING_LEARNED, Control
from ml_backend.settings import Settings


@dataclass(frozen=True)
class Lesson:
    """What the corrections of a project teach.

    Attributes:
        project: which.
        current: the revision that is in force; None where there is none.
        proposal: what would change.
    """

    project: Project
    current: Revision | None
    proposal: Proposal

    def apply(self, database: Database, author: str) -> Revision | None:
        """Put it into force as the next revision; gives None where nothing would change.

        Raises:
            FeedbackError: another revision has been applied meanwhile, or the database cannot be used.
        """
        if not self.proposal.anything:
            return None
        after = self.current.number if self.current else 0
        evidence = self.proposal.to_json()
        return apply(database, self.project.id, self.proposal.learned, author=author, evidence=evidence, after=after)


def learn(database: Database, settings: Settings, number: int, target: float | None = None) -> Lesson:
    """Work out what the corrections of a project teach.

    Args:
        database: where they are.
        settings: as for the service.
        number: id of the project.
        target: precision that is wanted, 0 to 1; None for the one that the label config states (``model_target_precision``), else the
            settings' (``PRELABEL_TARGET_PRECISION``).

    Raises:
        FeedbackError: nothing is known of the project, or the database cannot be used.
        LabelConfigError: its label config cannot be served.
    """

    def wanted(control: Control) -> float:
        return target or control.target_precision or settings.target_precision

    with database.reading() as connection:
        project = get_project(connection, number)
        past = history(connection, number)
        current = past[-1] if past else None
        proposal = propose(
            lambda: annotations_of(connection, number),
            project.label_config,
            current.learned if current else NOTHING_LEARNED,
            score_threshold=settings.model_score_threshold,
            targets=wanted,
        )
    return Lesson(project, current, proposal)
