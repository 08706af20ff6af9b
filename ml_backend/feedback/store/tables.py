"""The tables of the database. The steps in ``migrations/`` create and upgrade them."""

from sqlalchemy import Boolean, Column, Float, Index, Integer, LargeBinary, MetaData, Table, Text

metadata = MetaData()

events = Table(
    "prelabel_events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),  # of label_studio.events.ChangedObject
    Column("project", Integer, nullable=False),
    Column("object", Integer, nullable=False),  # its id
    Column("payload", LargeBinary),  # of a trusted event
    Column("received_at", Float, nullable=False),  # seconds since 1970
    Column("due_at", Float, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("problem", Text, nullable=False),  # why it could not be processed so far
    Index("prelabel_events_due", "due_at", "id"),
    Index("prelabel_events_about", "object", "project", "kind", "id"),
    sqlite_autoincrement=True,  # ids are never reused, so "up to this id" stays true
)

annotations = Table(
    "prelabel_annotations",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # that of Label Studio, as all ids below
    Column("project", Integer, nullable=False, index=True),
    Column("task", Integer, nullable=False, index=True),
    Column("annotator", Integer),
    Column("updated_at", Text, nullable=False),
    Column("skipped", Boolean, nullable=False),
    # Seconds since 1970 of updated_at, whose text has no fraction where that is zero.
    Column("updated", Float, nullable=False),
    Column("whole", Boolean, nullable=False),  # whether its images could be read
    # Fingerprint, 8 hex digits, of the detector whose detections are in the facts; empty if unknown.
    Column("detector", Text, nullable=False, index=True),
    Column("facts", LargeBinary, nullable=False),  # see annotation_records.py
)

tasks = Table(
    "prelabel_tasks",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    # Seconds since 1970 by the clock of the database: an earlier reading must not replace a later one.
    Column("read_at", Float, nullable=False),
)

projects = Table(
    "prelabel_projects",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("title", Text, nullable=False),
    Column("label_config", Text, nullable=False),
)

label_configs = Table(
    "prelabel_label_configs",
    metadata,
    Column("project", Integer, primary_key=True, autoincrement=False),
    # Seconds since 1970 from which it was in use; 0 for the first known one.
    Column("since", Float, primary_key=True),
    Column("label_config", Text, nullable=False),
)

detectors = Table(
    "prelabel_detectors",
    metadata,
    Column("fingerprint", Text, primary_key=True),  # 8 hex
    Column("name", Text, nullable=False),
    Column("since", Float, nullable=False),  # seconds since 1970; the latest one is the current detector
)

trainings = Table(
    "prelabel_trainings",
    metadata,
    Column("project", Integer, primary_key=True, autoincrement=False),
    Column("at", Text, nullable=False),  # ISO 8601, UTC
    Column("author", Text, nullable=False),
    Column("outcome", Text, nullable=False),  # applied, unchanged, suggested, reverted or failed
    Column("revision", Integer, nullable=False),  # in force afterwards; 0 for none
    Column("message", Text, nullable=False),
)

revisions = Table(
    "prelabel_revisions",
    metadata,
    Column("project", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),  # from 1, one by one
    # Itself, or the revision to which it reverts; 0 for the state before any.
    Column("stands_for", Integer, nullable=False),
    Column("before", Integer, nullable=False),  # the revision to which a revert leads
    Column("learned", Text, nullable=False),  # JSON of LabelOverrides
    # Fingerprint, 8 hex digits, of its detector; empty if unknown.
    Column("detector", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("created_at", Text, nullable=False),  # ISO 8601, UTC
    Column("evidence", Text, nullable=False),  # JSON
)
