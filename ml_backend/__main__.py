"""The ``prelabel`` command as ``python -m ml_backend``."""

from ml_backend.cli.common import app

app()
