"""The bulk job: a source of pictures becomes tasks with predictions, at one go, resumable, without a server.

source -> checkpoint -> examined pictures -> near-duplicates -> predictions -> sinks
"""
