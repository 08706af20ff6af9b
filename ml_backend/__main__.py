"""Lets ``python -m ml_backend`` do what ``prelabel`` does."""

from ml_backend.cli.common import app

app()
