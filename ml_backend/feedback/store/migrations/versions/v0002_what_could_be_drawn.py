"""Annotations know their detector, the labels that could be drawn then, and whether somebody looked at them.

Facts of version 1 become version 2, by what they say themselves:

- The detector is the one whose fingerprint the model version of the shown prediction carries; it stays unknown where none was shown, and
  those annotations are judged again.
- A label could be drawn if anybody had drawn or been shown it in the project by then. A label that was there and that nobody had met yet is
  missing: it neither counts nor is counted against.
- A prediction was accepted in bulk where no time was taken and no box differs from it.
- Annotations without a known prediction are not whole: version 1 did not find that of a resumed draft, and ``prelabel feedback sync`` reads
  them again.
"""

import re
from typing import Any

import msgpack
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

PORTION = 500  # rows that are in memory at once
MODEL_VERSION = re.compile(r"@([0-9a-f]{8})\.[0-9a-f]{6}$")

annotations = sa.table(
    "prelabel_annotations",
    sa.column("id", sa.Integer),
    sa.column("project", sa.Integer),
    sa.column("updated", sa.Float),
    sa.column("detector", sa.Text),
    sa.column("skipped", sa.Boolean),
    sa.column("whole", sa.Boolean),
    sa.column("facts", sa.LargeBinary),
)
projects = sa.table("prelabel_projects", sa.column("id", sa.Integer), sa.column("label_config", sa.Text))
label_configs = sa.table(
    "prelabel_label_configs",
    sa.column("project", sa.Integer),
    sa.column("since", sa.Float),
    sa.column("label_config", sa.Text),
)
revisions = sa.table("prelabel_revisions", sa.column("project", sa.Integer), sa.column("detector", sa.Text))


def upgrade() -> None:
    """Add columns and tables, and bring the facts up to date."""
    op.add_column("prelabel_annotations", sa.Column("detector", sa.Text, nullable=False, server_default=""))
    op.create_index("ix_prelabel_annotations_detector", "prelabel_annotations", ["detector"])
    op.add_column("prelabel_revisions", sa.Column("detector", sa.Text, nullable=False, server_default=""))
    op.create_table(
        "prelabel_label_configs",
        sa.Column("project", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("since", sa.Float, primary_key=True),
        sa.Column("label_config", sa.Text, nullable=False),
    )
    op.create_table(
        "prelabel_detectors",
        sa.Column("fingerprint", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("since", sa.Float, nullable=False),
    )
    op.create_table(
        "prelabel_trainings",
        sa.Column("project", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
    )
    connection = op.get_bind()
    # Until now by the clock of the service that read, which may have been ahead.
    connection.execute(sa.text("DELETE FROM prelabel_tasks"))
    known = sa.select(projects.c.id, sa.literal(0.0), projects.c.label_config)
    connection.execute(sa.insert(label_configs).from_select(["project", "since", "label_config"], known))
    for (project,) in connection.execute(sa.select(annotations.c.project).distinct()).all():
        detector = _upgrade_project(connection, project)
        connection.execute(sa.update(revisions).where(revisions.c.project == project).values(detector=detector))


def _upgrade_project(connection: sa.Connection, project: int) -> str:
    """Bring the facts of a project up to date; gives the detector of the latest prediction that was shown."""
    drawable: dict[str, set[str]] = {}
    latest, last = "", (-1.0, 0)
    columns = (annotations.c.updated, annotations.c.id, annotations.c.skipped, annotations.c.facts)
    order = sa.tuple_(annotations.c.updated, annotations.c.id)
    while True:
        rows = connection.execute(
            sa.select(*columns)
            .where(annotations.c.project == project, order > last)
            .order_by(*columns[:2])
            .limit(PORTION)
        ).all()
        for updated, number, skipped, packed in rows:
            facts: dict[str, Any] = msgpack.unpackb(packed)
            last = (updated, number)
            if facts.get("version") != 1:
                continue
            detector = _upgrade(facts, drawable)
            latest = detector or latest
            values: dict[str, Any] = {"facts": msgpack.packb(facts), "detector": detector}
            if facts["shown"] is None and not skipped:
                values["whole"] = False
            connection.execute(sa.update(annotations).where(annotations.c.id == number).values(values))
        if len(rows) < PORTION:
            return latest


def _upgrade(facts: dict[str, Any], drawable: dict[str, set[str]]) -> str:
    """Bring the facts of one annotation up to date, and what could be drawn; gives the detector, or nothing where it is unknown."""
    drawn, shown = facts["drawn"], facts["shown"]
    for control, _, label, *_ in [*drawn, *(shown or [])]:
        drawable.setdefault(control, set()).add(label)
    accepted = facts["seconds"] is None and shown is not None
    accepted = accepted and _places(drawn) == _places(shown)
    facts.update(
        version=2,
        drawn=[[*box, ""] for box in drawn],
        shown=None if shown is None else [[*box, ""] for box in shown],
        drawable={control: sorted(labels) for control, labels in drawable.items()},
        accepted=accepted,
    )
    found = MODEL_VERSION.search(facts["model_version"])
    return found[1] if found else ""


def _places(boxes: list[Any]) -> list[Any]:
    """Return boxes without their scores."""
    return sorted([control, item, label, *edges] for control, item, label, edges, *_ in boxes)
