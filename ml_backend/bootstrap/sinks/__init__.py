"""Sinks: the files and projects that a bulk job writes its predictions to."""
