"""The tables of the versions that kept no version of their schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables, unless such a version has made them already."""
    if sa.inspect(op.get_bind()).has_table("prelabel_annotations"):
        return
    op.create_table(
        "prelabel_events",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("project", sa.Integer, nullable=False),
        sa.Column("object", sa.Integer, nullable=False),
        sa.Column("payload", sa.LargeBinary),
        sa.Column("received_at", sa.Float, nullable=False),
        sa.Column("due_at", sa.Float, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("problem", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("prelabel_events_due", "prelabel_events", ["due_at", "id"])
    op.create_index("prelabel_events_about", "prelabel_events", ["object", "project", "kind", "id"])
    op.create_table(
        "prelabel_annotations",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("project", sa.Integer, nullable=False),
        sa.Column("task", sa.Integer, nullable=False),
        sa.Column("annotator", sa.Integer),
        sa.Column("updated_at", sa.Text, nullable=False),
        sa.Column("skipped", sa.Boolean, nullable=False),
        sa.Column("updated", sa.Float, nullable=False),
        sa.Column("whole", sa.Boolean, nullable=False),
        sa.Column("facts", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_prelabel_annotations_project", "prelabel_annotations", ["project"])
    op.create_index("ix_prelabel_annotations_task", "prelabel_annotations", ["task"])
    op.create_table(
        "prelabel_tasks",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("read_at", sa.Float, nullable=False),
    )
    op.create_table(
        "prelabel_projects",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("label_config", sa.Text, nullable=False),
    )
    op.create_table(
        "prelabel_revisions",
        sa.Column("project", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("stands_for", sa.Integer, nullable=False),
        sa.Column("before", sa.Integer, nullable=False),
        sa.Column("learned", sa.Text, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
    )
