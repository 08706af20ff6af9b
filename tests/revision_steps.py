"""Revisions that tests apply and revert."""

from dataclasses import replace

from ml_backend.feedback.store.database import Database
from ml_backend.feedback.store.revisions import Revision, apply, history, revert
from ml_backend.postprocessing.overrides import LabelOverrides

EVIL = "<b>Größe 🪁\"';--"
OURS, THEIRS = "0123abcd", "89abcdef"  # fingerprints of detectors


def learned_at(threshold: float, revision: int = 0) -> LabelOverrides:
    """Return overrides with a threshold and a relabeled class."""
    return replace(LabelOverrides.of({("label", EVIL): threshold}, {("label", "/m/01g317"): EVIL}), revision=revision)


def past_of(database: Database, project: int = 3) -> list[Revision]:
    """Return the revisions of a project."""
    with database.reading() as connection:
        return history(connection, project)


def do(database: Database, steps: str, project: int = 3, detector: str = OURS) -> None:
    """Apply (a digit, which becomes the threshold) and revert (``r``)."""
    for step in steps:
        if step == "r":
            revert(database, project, author="b")
        else:
            after = len(past_of(database, project))
            apply(
                database, project, learned_at(int(step) / 10), detector=detector, author="a", evidence={}, after=after
            )
