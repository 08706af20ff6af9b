"""Formats and API of Label Studio: tasks, label configs, regions, tokens, connections and events."""
