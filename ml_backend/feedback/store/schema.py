"""The version of the tables in a database: brought up to date, or refused where a newer Prelabel has written it.

Alembic runs the steps of ``migrations/`` and keeps the number of the last one in the table :data:`VERSION_TABLE`.
"""

from functools import lru_cache

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

VERSION_TABLE = "prelabel_schema"
_LOCK = 0x70726C6C  # an arbitrary number: Postgres locks by numbers, and this one is ours


class NewerSchemaError(Exception):
    """A newer version of Prelabel has written the tables."""


def version_of(connection: Connection) -> str | None:
    """Return the version of the tables in a database; None where none is stated."""
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()


@lru_cache(maxsize=1)
def versions() -> list[str]:
    """Return the versions that this Prelabel knows, the newest first."""
    return [step.revision for step in ScriptDirectory.from_config(_config()).walk_revisions()]


def upgrade(connection: Connection) -> None:
    """Bring the tables up to date, or make them.

    Args:
        connection: in a transaction, which becomes the transaction of all steps.

    Raises:
        NewerSchemaError: a newer version of Prelabel has written them.
    """
    if connection.dialect.name == "postgresql":  # a writing transaction of SQLite is alone anyway
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    version = version_of(connection)
    if version is not None and version not in versions():
        raise NewerSchemaError(
            f"its tables have version {version}, and this Prelabel knows none above {versions()[0]}; use the Prelabel that wrote them, or a newer one"
        )
    if version != versions()[0]:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "ml_backend:feedback/store/migrations")
    config.set_main_option("path_separator", "os")
    return config
