"""The database of corrections: schema, annotation records, revisions and the queue of events."""
