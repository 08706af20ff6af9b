import json
import logging

import pytest
import structlog

from ml_backend.logs import configure_logging


def test_a_service_logs_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Our own records, those of libraries, and errors with their traces: one line each."""
    configure_logging("info")
    structlog.get_logger("ours").info("task failed", task=7)
    logging.getLogger("uvicorn.error").info("started %s", "well")
    password = "s3cret"
    try:
        len(password) / 0
    except ZeroDivisionError:
        structlog.get_logger("ours").exception("broken")
    logging.getLogger("ours").debug("not shown")
    written = capsys.readouterr().err
    assert password not in written, "a trace must not show the values of local variables"
    ours, theirs, error = (json.loads(line) for line in written.splitlines())
    assert (ours["event"], ours["task"], ours["level"], ours["logger"]) == ("task failed", 7, "info", "ours")
    assert theirs["event"] == "started well"
    assert error["exception"][0]["exc_type"] == "ZeroDivisionError"
