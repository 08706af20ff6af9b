import json
import logging
import os
import pty
import re
import select
import sys
from io import StringIO
from typing import TextIO

import pytest
import structlog

from ml_backend.logs import LogFormat, configure_logging


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


def written_to(stderr: TextIO, form: LogFormat, monkeypatch: pytest.MonkeyPatch) -> None:
    """Log a line of ours, and one of uvicorn about its start."""
    monkeypatch.setattr(sys, "stderr", stderr)
    configure_logging("info", form)
    structlog.get_logger("ours").warning("task failed", tasks=1, cause="a\x1b[2Jb")
    logging.getLogger("uvicorn.error").info("Started server process")


def on_terminal(form: LogFormat, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what a real terminal gets."""
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as stderr:
        written_to(stderr, form, monkeypatch)
        written = b""
        while select.select([master], [], [], 0)[0]:
            written += os.read(master, 10_000)
    os.close(master)
    return written.decode().replace("\r\n", "\n")


def elsewhere(form: LogFormat, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what a file or a pipe gets."""
    stderr = StringIO()
    written_to(stderr, form, monkeypatch)
    return stderr.getvalue()


COLOUR = re.compile(r"\x1b\[\d*m")
TEXT = re.compile(r"\d\d:\d\d:\d\d \[warning  \] task failed +tasks=1 cause='a\\x1b\[2Jb'\n")


def test_people_at_a_terminal_get_short_coloured_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time, level, event and fields, without names of modules and uvicorn's own start; a cause cannot clear the screen."""
    written = on_terminal("auto", monkeypatch)
    assert COLOUR.search(written)
    assert TEXT.fullmatch(COLOUR.sub("", written)), written


def test_text_that_goes_elsewhere_has_no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as that of a container, which somebody reads with `docker logs`."""
    assert TEXT.fullmatch(elsewhere("text", monkeypatch))


def test_json_can_be_had_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same as elsewhere."""
    for written in (on_terminal("json", monkeypatch), elsewhere("json", monkeypatch), elsewhere("auto", monkeypatch)):
        ours, theirs = map(json.loads, written.splitlines())
        assert (ours["cause"], ours["logger"], theirs["logger"]) == ("a\x1b[2Jb", "ours", "uvicorn.error")
