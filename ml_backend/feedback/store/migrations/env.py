"""Runs the steps on the connection that :mod:`ml_backend.feedback.store.schema` gives, in its transaction."""

from alembic import context

from ml_backend.feedback.store.schema import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
context.run_migrations()
