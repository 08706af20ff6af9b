"""Threads that do not delay the end of the process."""

import subprocess
import sys
import threading

import pytest

from ml_backend.server.pages.daemons import Daemons

FOREVER = """
import threading
from ml_backend.server.pages.daemons import Daemons
threads = Daemons(2, "slow")
threads.submit(threading.Event().wait)
threads.shutdown()
print("ended")
"""


def test_results_and_errors_are_those_of_the_work() -> None:
    """As of any executor."""
    threads = Daemons(2, "work")
    assert list(threads.map(lambda each: each + 1, [1, 2, 3])) == [2, 3, 4]
    with pytest.raises(ZeroDivisionError):
        threads.submit(lambda: 1 // 0).result(30)
    threads.shutdown()
    with pytest.raises(RuntimeError, match="ended"):
        threads.submit(lambda: 1)


def test_what_waits_at_the_end_does_not_begin() -> None:
    """It is cancelled when what runs has ended."""
    threads, begun, may_end = Daemons(1, "work"), threading.Event(), threading.Event()

    def work() -> bool:
        begun.set()
        return may_end.wait(30)

    running, waiting = threads.submit(work), threads.submit(lambda: 1)
    assert begun.wait(30)
    threads.shutdown(wait=False)
    may_end.set()
    assert running.result(30)
    threads.shutdown()
    assert waiting.cancelled()


def test_process_ends_while_work_goes_on() -> None:
    """Such as the figures of twenty thousand annotations."""
    done = subprocess.run([sys.executable, "-c", FOREVER], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "ended\n"
