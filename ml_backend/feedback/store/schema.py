"""The version of the tables in a database: older ones are upgraded, newer ones refused.

Alembic runs the steps of ``migrations/`` and keeps the number of the last one in the table :data:`VERSION_TABLE`.
"""

from functools import lru_cache

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

VERSION_TABLE = "prelabel_schema"
_LOCK = 0x70726C6C  # an arbitrary number: Postgres has advisory locks by number


class NewerSchemaError(Exception):
    """The tables are of a newer version of Prelabel."""


def version_of(connection: Connection) -> str | None:
    """Return the version of the tables in a database; None if it states none."""
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()


@lru_cache(maxsize=1)
def versions() -> list[str]:
    """Return the known versions, the newest first."""
    return [step.revision for step in ScriptDirectory.from_config(_config()).walk_revisions()]


def upgrade(connection: Connection) -> None:
    """Create or upgrade the tables.

    Args:
        connection: in a transaction, in which all steps run.

    Raises:
        NewerSchemaError: the tables are of a newer version of Prelabel.
    """
    if connection.dialect.name == "postgresql":  # a writing transaction of SQLite is exclusive anyway
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    version = version_of(connection)
    if version is not None and version not in versions():
        raise NewerSchemaError(
            f"its tables have version {version}, and this Prelabel knows versions up to {versions()[0]}: use the Prelabel that wrote them, or a newer one"
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
