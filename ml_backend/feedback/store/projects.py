"""Projects, and their label configs over time."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from ml_backend.errors import UnknownProjectError
from ml_backend.feedback.store.database import now, seconds_of, storable, upsert
from ml_backend.feedback.store.tables import label_configs, projects

MAX_TITLE_LENGTH, MAX_CONFIG_LENGTH = 200, 10_000_000  # characters


@dataclass(frozen=True, slots=True)
class Project:
    """A project of Label Studio.

    Attributes:
        id, title, label_config: as Label Studio has them.
        shows_predictions: whether annotators see predictions (``show_collab_predictions``); not in the database.
    """

    id: int
    title: str
    label_config: str
    shows_predictions: bool = True


def put_project(connection: Connection, project: Project) -> None:
    """Write a project, and the time of a change of its label config."""
    title = (
        project.title or connection.execute(select(projects.c.title).where(projects.c.id == project.id)).scalar() or ""
    )
    row = {
        "title": storable(title, MAX_TITLE_LENGTH),
        "label_config": storable(project.label_config, MAX_CONFIG_LENGTH),
    }
    upsert(connection, projects, {"id": project.id, **row})
    known = configs_of(connection, project.id)
    if not known or known[-1][1] != row["label_config"]:
        since = now(connection) if known else 0.0
        config = {"project": project.id, "since": since, "label_config": row["label_config"]}
        upsert(connection, label_configs, config)


def configs_of(connection: Connection, project: int) -> list[tuple[float, str]]:
    """Return the known label configs of a project over time, each with the seconds since 1970 from which it was in use."""
    query = select(label_configs.c.since, label_configs.c.label_config).where(label_configs.c.project == project)
    return [(row.since, row.label_config) for row in connection.execute(query.order_by(label_configs.c.since))]


def config_at(configs: Sequence[tuple[float, str]], updated_at: str) -> str:
    """Return the label config under which an annotation was made.

    Args:
        configs: of :func:`configs_of`, at least one.
        updated_at: when the annotation was last updated, ISO 8601.
    """
    moment = seconds_of(updated_at)
    return next((config for since, config in reversed(configs) if since <= moment), configs[0][1])


def get_project(connection: Connection | None, number: int, place: str) -> Project:
    """Return a project.

    Args:
        connection: to read with; None for a database without tables.
        number: id of the project.
        place: of the database, for the error message: the user may have meant another one.

    Raises:
        UnknownProjectError: no event of the project was ever kept.
    """
    row = None
    if connection is not None:
        row = connection.execute(select(projects).where(projects.c.id == number)).mappings().first()
    if row is None:
        raise UnknownProjectError(
            f"project {number} has no annotations in the database {place}: connect Prelabel to the project in Label Studio, run "
            f"`prelabel feedback sync --project {number}`, or set PRELABEL_DATABASE_URL to the database that has its annotations"
        )
    return Project(row["id"], row["title"], row["label_config"])
