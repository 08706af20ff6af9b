"""The database of corrections: schema, annotation records and the queue of events."""
