"""The cost of metrics and traces: processor time of requests with and without the measuring.

One service answers requests in pairs, one with and one without the measuring, so that whatever else the machine does falls on both. The
processor time is that of the process with the service and the client; decoders have their own. Run it with
`make bench`, on a machine that does nothing else; `docs/monitoring.md` says what to expect.
"""

import argparse
import gc
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from fastapi import FastAPI
from servers import CONFIG, detector, file_server, free_port

from ml_backend.inference.models import Models
from ml_backend.metrics import Metrics
from ml_backend.server.app import create_app
from ml_backend.server.measuring import MeasuredRequests
from ml_backend.server.running import background_server
from ml_backend.server.service import Service
from ml_backend.settings import load_settings

COLLECTOR = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    do_GET = do_POST
    def log_message(self, *arguments): pass
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


class NoStage:
    """A stage that is not measured."""

    def begin(self) -> Self:
        """Do nothing."""
        return self

    __enter__ = begin

    def end(self, *_: object) -> None:
        """Do nothing."""

    __exit__ = end


class Measuring:
    """Switches the measuring of one service."""

    def __init__(self, app: FastAPI) -> None:
        self._service: Service = app.state.service
        self._traces = self._service.traces
        self._stage = self._service.pipeline.metrics.stage
        self._around = MeasuredRequests.__call__

    def choose(self, *, metrics: bool, traces: bool) -> None:
        """Switch metrics and traces on or off."""
        no_stage = NoStage()
        of_pipeline: Any = self._service.pipeline.metrics
        of_pipeline.stage = self._stage if metrics else lambda *_: no_stage
        around: Any = self._around if metrics else lambda middleware, *asked: middleware._app(*asked)  # noqa: SLF001 - what it is around
        MeasuredRequests.__call__ = around  # type: ignore[method-assign]
        self._service.traces = self._traces if traces else None

    def flush(self) -> None:
        """Send the spans that wait, so that no later request pays for them."""
        assert self._traces is not None  # noqa: S101 - they are on
        self._traces._provider.force_flush()  # noqa: SLF001 - a service never waits for it


@contextmanager
def collector() -> Iterator[str]:
    """Run a collector that forgets what it gets; gives its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen([sys.executable, "-c", COLLECTOR, str(port)])
    try:
        yield url
    finally:
        process.kill()
        process.wait()


def post(connection: http.client.HTTPConnection, images: Sequence[str]) -> float:
    """Predict images in one request; gives the seconds of processor time of this process."""
    tasks = [{"id": number, "data": {"image": image}} for number, image in enumerate(images, 1)]
    body = json.dumps({"tasks": tasks, "label_config": CONFIG, "project": "1.1"})
    started = time.process_time()
    connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
    answer = connection.getresponse().read()
    spent = time.process_time() - started
    if answer.count(b'"result":[') != len(images):
        raise RuntimeError("some tasks were not predicted")
    return spent


def compare(measuring: Measuring, ask: Callable[[], float], rounds: int, *, traces: bool) -> tuple[float, list[float]]:
    """Ask in pairs, one request each with and without measuring, the other one first each time.

    Args:
        measuring: of the service.
        ask: sends one request, and gives its seconds.
        rounds: how many pairs.
        traces: whether traces are compared with metrics alone, or metrics with nothing.

    Returns:
        The median without, in seconds, and by how much the other one of each pair differs, as a share.
    """
    less: list[float] = []
    more: list[float] = []
    for number in range(rounds):
        for is_more in (number % 2 == 0, number % 2 == 1):
            measuring.choose(metrics=traces or is_more, traces=traces and is_more)
            seconds = ask()
            if traces and is_more:
                started = time.process_time()
                measuring.flush()
                seconds += time.process_time() - started
            (more if is_more else less).append(seconds)
    return statistics.median(less), [with_it / without - 1 for with_it, without in zip(more, less, strict=True)]


def share(shares: list[float]) -> str:
    """Return the median of some shares, with its standard error."""
    error = 1.25 * statistics.stdev(shares) / len(shares) ** 0.5
    return f"{statistics.median(shares):+.2%} ± {error:.2%}"


def stage_cost() -> float:
    """Return the microseconds that measuring one stage takes."""
    stage = Metrics().stage
    best = float("inf")
    for _ in range(50):
        started = time.perf_counter()
        for _ in range(10_000):
            with stage("cache"):
                pass
        best = min(best, time.perf_counter() - started)
    return best * 100


def main() -> None:
    """Measure."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument(
        "--rounds", type=int, default=100, help="requests of each variant with 300 known images; a third with new ones"
    )
    rounds = options.parse_args().rounds
    print(f"\nmeasuring one stage takes {stage_cost():.2f} µs without a trace")
    with tempfile.TemporaryDirectory() as folder, file_server() as files, collector() as traces:
        os.environ["PRELABEL_DATABASE_URL"] = f"sqlite:///{folder}/corrections"
        settings = load_settings(
            model=detector(Path(folder)),
            label_studio_url=files.url,
            label_studio_api_key="any",
            cache_file=Path(folder) / "cache",
            traces_endpoint=traces,
        )
        app = create_app(settings, Models.load(settings))
        gc.collect()
        gc.freeze()  # as `prelabel serve` does
        with background_server(app) as url:
            connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=300)
            measuring = Measuring(app)
            known = files.new(300)
            requests: dict[str, tuple[Callable[[], float], int]] = {
                "300 known images": (lambda: post(connection, known), rounds),
                "1 known image, 50 times": (lambda: sum(post(connection, known[:1]) for _ in range(50)), rounds),
                "25 new images": (lambda: post(connection, files.new(25)), max(5, rounds // 3)),
            }
            print("\n| one request | ms without measuring | metrics | traces, beyond metrics |\n|---|---|---|---|")
            for title, (ask, count) in requests.items():
                for _ in range(3):
                    ask()
                seconds, of_metrics = compare(measuring, ask, count, traces=False)
                _, of_traces = compare(measuring, ask, max(5, count // 5), traces=True)
                print(f"| {title} | {seconds * 1e3:.1f} | {share(of_metrics)} | {share(of_traces)} |", flush=True)
            connection.close()


if __name__ == "__main__":
    main()
