"""Runs a command of Prelabel in the test's own process, which has TensorFlow already: a process of its own takes five seconds to start."""

import gc
import warnings
from collections.abc import Mapping, Sequence

from typer.testing import CliRunner, Result

from ml_backend.bootstrap.run import INTERRUPTED
from ml_backend.cli import app


def invoke(arguments: Sequence[str], settings: Mapping[str, str]) -> Result:
    """Run a command to its end, with some environment variables more.

    Raises:
        Exception: an error that nobody has foreseen, as the command raised it.
        KeyboardInterrupt: somebody wants the tests to end.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # connections to Label Studio, which end with a process
        result = CliRunner().invoke(app, arguments, env=settings)
        gc.collect()
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    if result.exit_code == INTERRUPTED:
        raise KeyboardInterrupt
    return result
