"""The start of Prelabel and of the peer, from the process to the first answer, and their memory after it.

The first start converts the model; every later one reads the conversion.
"""

import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from subprocess import Popen

from servers import FileServer, family, memory, peer, predict, prelabel
from table import Line, Table, Target

MEGABYTE = 1_000_000
Serve = Callable[[], AbstractContextManager[tuple[str, Popen[bytes]]]]


def measure(table: Table, files: FileServer, settings: dict[str, str], folder: str, rounds: int) -> None:
    """Add the lines of starts and of idle memory.

    Args:
        table: gets the lines.
        files: the images.
        settings: environment variables of Prelabel, with a folder of models that has no conversion yet.
        folder: for the files of the peer.
        rounds: how often both are started.
    """
    ours: Serve = partial(prelabel, **settings)
    theirs: Serve = partial(peer, settings["PRELABEL_MODEL"], folder)
    first, _ = _start(ours, files)
    _start(theirs, files)  # its files are read from the disk now, too
    starts: dict[str, list[float]] = {"ours": [], "peer": []}
    sizes: dict[str, list[tuple[float, float]]] = {"ours": [], "peer": []}
    for _ in range(rounds):
        for side, serve in (("ours", ours), ("peer", theirs)):
            seconds, size = _start(serve, files)
            starts[side].append(seconds)
            sizes[side].append(size)
    own, other = (statistics.median(starts[side]) for side in ("ours", "peer"))
    note = f"{own:.1f} s, the peer {other:.1f} s; the first start, which converts the model, {first:.1f} s"
    shares = [mine / its for mine, its in zip(starts["ours"], starts["peer"], strict=True)]
    table.add(Line("second start to first answer / the peer's", shares, Target("at most", 0.4), note=note))
    (rss, pss), (their_rss, their_pss) = (
        [statistics.median(column) for column in zip(*sizes[side], strict=True)] for side in ("ours", "peer")
    )
    note = f"PSS of all processes {pss:.0f} MB, the peer {their_pss:.0f} MB; VmRSS of the largest {rss:.0f} and {their_rss:.0f} MB"
    shares = [mine[1] / its[1] for mine, its in zip(sizes["ours"], sizes["peer"], strict=True)]
    table.add(Line("idle memory / the peer's", shares, Target("at most", 0.5), note=note))


def _start(serve: Serve, files: FileServer) -> tuple[float, tuple[float, float]]:
    """Return the seconds to the first answer; and in MB, VmRSS of the largest process and PSS of all."""
    started = time.perf_counter()
    with serve() as (url, process):
        predict(url, files.new(1))
        seconds = time.perf_counter() - started
        pids = family(process.pid)
        largest = max(memory(pid, "status", "VmRSS") for pid in pids)
        total = sum(memory(pid, "smaps_rollup", "Pss") for pid in pids)
    return seconds, (largest / MEGABYTE, total / MEGABYTE)
