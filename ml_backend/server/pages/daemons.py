"""Threads for work that must not delay the end of the process: it only reads, and may take a minute."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

from typing_extensions import override

P = ParamSpec("P")
T = TypeVar("T")

END_SECONDS = 1  # that the end waits for running work, so that it usually ends in order


class Daemons(Executor):
    """A pool of daemon threads. Those of :class:`~concurrent.futures.ThreadPoolExecutor` are waited for when the interpreter ends.

    Args:
        count: of threads.
        name: of each.
    """

    def __init__(self, count: int, name: str) -> None:
        self._work: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._run, name=name, daemon=True) for _ in range(count)]
        self._ended = False
        for thread in self._threads:
            thread.start()

    @override
    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function in one of the threads."""
        if self._ended:
            raise RuntimeError("the threads have ended")
        future: Future[T] = Future()
        self._work.put((future, lambda: fn(*args, **kwargs)))
        return future

    def _run(self) -> None:
        while (task := self._work.get()) is not None:
            future, work = task
            if self._ended:
                future.cancel()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)
            del future, work, task  # a value is not kept by the thread that waits for the next work

    @override
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = True) -> None:
        """Begin nothing more, and wait for what runs, :data:`END_SECONDS` at most."""
        self._ended = True
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads if wait else ():
            thread.join(END_SECONDS)
