"""The ``prelabel`` command. Each command reads settings, calls the package and prints the result.

Imports of TensorFlow stand inside the commands, so that ``--help`` and ``--version`` answer at once.
"""

from ml_backend.cli import bootstrap, cache, demo, feedback, labels, predict, review, serve  # noqa: F401 - each adds its commands to the app
from ml_backend.cli.common import app

__all__ = ["app"]
