"""Engines: this machine, or a Ray cluster."""
