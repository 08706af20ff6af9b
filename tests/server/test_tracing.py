"""Traces of a real server, as a collector gets them: OTLP, protobuf over HTTP."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from picture_server import Answer, PictureServer
from samples import BALLOON_CONFIG, balloon_file
from waiting import wait_until

from ml_backend.logs import configure_logging
from ml_backend.settings import load_settings

Serve = Callable[..., str]

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"  # of the examples in W3C Trace Context


class Collector:
    """Takes traces at ``/v1/traces``.

    Attributes:
        url: its address.
        bodies: what it got, in protobuf.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.bodies: list[bytes] = []

    def spans(self) -> list[Any]:
        """Return all spans so far."""
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return [
            span
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def spans_of(self, name: str) -> list[Any]:
        """Wait for the span of a request; gives it, and those below it."""
        wait_until(lambda: any(span.name == name for span in self.spans()))
        (request,) = (span for span in self.spans() if span.name == name)
        return [request, *(span for span in self.spans() if span.parent_span_id == request.span_id)]


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """Give a real collector, which gets spans soon after they end."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")  # ms instead of 5 s

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces":
                found.bodies.append(body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Collector(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield found
        server.shutdown()
        thread.join()


def predict(url: str, *images: str, sampled: bool = True) -> httpx.Response:
    """Post one task for each image, as part of a trace."""
    tasks = [{"id": number, "data": {"image": image}} for number, image in enumerate(images, 1)]
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-{'01' if sampled else '00'}"}
    return httpx.post(f"{url}/predict", json={"tasks": tasks, "label_config": BALLOON_CONFIG}, headers=headers)


def attributes(span: Any) -> dict[str, Any]:
    """Return the attributes of a span."""
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


def test_request_is_a_span_with_one_for_each_stage(serve: Serve, pictures: PictureServer, collector: Collector) -> None:
    """In the trace of the caller, below its span, one after the other and none outside the request."""
    url = serve(traces_endpoint=collector.url)
    assert predict(url, pictures.add("/a.png", balloon_file())).json()["results"][0]
    request, *stages = collector.spans_of("POST /predict")
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, CALLER)
    assert attributes(request) == {
        "http.request.method": "POST",
        "http.route": "/predict",
        "http.response.status_code": 200,
    }
    stages.sort(key=lambda span: span.start_time_unix_nano)
    assert [span.name for span in stages] == [
        *("receive", "parse", "prepare", "cache", "queue_request", "queue_images", "fetch", "cache"),
        *("queue_worker", "decode", "inference", "cache", "postprocess", "answer"),
    ]
    times = [request.start_time_unix_nano]
    for span in stages:
        times += [span.start_time_unix_nano, span.end_time_unix_nano]
    assert times == sorted(times)
    assert times[-1] <= request.end_time_unix_nano


def test_service_has_the_name_that_the_operator_gives(
    serve: Serve, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other variables of OpenTelemetry are read by its SDK; without this one the name is prelabel."""
    httpx.get(f"{serve(traces_endpoint=collector.url)}/health")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "boxes")
    httpx.get(f"{serve(traces_endpoint=collector.url + '/')}/health")

    def names() -> set[str]:
        requests = map(ExportTraceServiceRequest.FromString, list(collector.bodies))
        resources = [each.resource for request in requests for each in request.resource_spans]
        return {attributes(each)["service.name"] for each in resources}

    wait_until(lambda: names() == {"prelabel", "boxes"}, seen=names)


def test_traces_hold_no_secret(serve: Serve, pictures: PictureServer, collector: Collector) -> None:
    """Images show in the spans of their fetches, without user, password and signature, also those that fail."""
    url = serve(traces_endpoint=collector.url)
    host = pictures.add("/a.png", balloon_file()).removeprefix("http://").removesuffix("/a.png")
    images = [f"http://me:s3cret@{host}/{name}.png?X-Amz-Signature=s3cret" for name in ("a", "gone")]
    httpx.post(
        f"{url}/setup",
        json={"schema": BALLOON_CONFIG, "project": "7.1", "hostname": pictures.url, "access_token": "s3cret"},
    )
    predict(url, *images)
    spans = collector.spans_of("POST /predict")
    fetches = [span for span in spans if span.name == "fetch"]
    assert {attributes(span)["prelabel.image"] for span in fetches} == {
        f"http://{host}/{name}.png?…" for name in ("a", "gone")
    }
    assert {(span.status.code, span.status.message) for span in fetches} == {(0, ""), (2, "image_not_fetched")}
    assert not any(b"s3cret" in body for body in collector.bodies)


def test_trace_that_is_not_sampled_has_no_spans(serve: Serve, pictures: PictureServer, collector: Collector) -> None:
    """The caller decides."""
    url = serve(traces_endpoint=collector.url)
    predict(url, pictures.add("/a.png", balloon_file()), sampled=False)
    httpx.get(f"{url}/health")
    collector.spans_of("GET /health")
    assert [span.name for span in collector.spans()] == ["GET /health"]


def test_log_lines_of_a_request_name_its_trace(
    serve: Serve, pictures: PictureServer, collector: Collector, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that a line leads to the trace, and no other line names one."""
    configure_logging("info")
    url = serve(traces_endpoint=collector.url)
    predict(url, pictures.url + "/gone.png")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines if line.get("trace_id") == TRACE] == ["task failed"]
    assert [line["event"] for line in lines if "trace_id" in line] == ["task failed"]


def test_spans_of_one_request_are_limited(
    serve: Serve, pictures: PictureServer, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A selection of 50,000 tasks has hundreds of thousands of stages. The request's span says how many have none."""
    monkeypatch.setattr("ml_backend.tracing.MAX_SPANS", 10)
    url = serve(traces_endpoint=collector.url)
    predict(url, pictures.add("/a.png", balloon_file()))
    request, *stages = collector.spans_of("POST /predict")
    assert (len(stages), attributes(request)["prelabel.stages_without_span"]) == (10, 4)


@pytest.mark.parametrize("answers", ["never", "no server"])
def test_collector_that_fails_neither_delays_nor_fails_requests(
    serve: Serve,
    pictures: PictureServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answers: str,
) -> None:
    """Predictions come while it holds the first batch, with a queue that is full; one line of the log tells of it."""
    configure_logging("info")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    pictures.add("/v1/traces", Answer(held=True))
    url = serve(traces_endpoint=pictures.url if answers == "never" else "http://127.0.0.1:9")
    image = pictures.add("/a.png", balloon_file())
    for _ in range(5):
        assert predict(url, image).json()["results"][0]
    told: list[str] = []

    def is_told() -> bool:
        told.extend(line for line in capsys.readouterr().err.splitlines() if "traces cannot be sent" in line)
        return bool(told)

    wait_until(is_told)
    assert predict(url, image).json()["results"][0]


def test_service_ends_while_the_collector_does_not_answer(
    pictures: PictureServer, demo_detector: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last spans are given up after a second, though the SDK would try for ten."""
    from ml_backend.inference.models import Models
    from ml_backend.server.app import create_app
    from ml_backend.server.running import background_server

    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "120")
    pictures.add("/v1/traces", Answer(held=True))
    settings = load_settings(traces_endpoint=pictures.url)
    with background_server(create_app(settings, Models(demo_detector))) as url:
        httpx.get(f"{url}/health")
        wait_until(lambda: pictures.requests)
        ending = time.monotonic()
    assert time.monotonic() - ending < 20


def test_missing_packages_are_told_of_and_predictions_go_on(
    serve: Serve, pictures: PictureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster may set the variable for all its services; none of them should stop for that."""
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)  # as Python finds a package that is not installed
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    settings = load_settings()
    assert [warning for warning in settings.warnings() if "Install prelabel[otel]" in warning]
    url = serve(traces_endpoint=settings.traces_endpoint)
    assert predict(url, pictures.add("/a.png", balloon_file())).json()["results"][0]


def test_service_without_traces_does_not_import_what_makes_them() -> None:
    """Other libraries import parts of OpenTelemetry where it is installed."""
    script = "import sys, ml_backend.server.app; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert {"opentelemetry.sdk.trace", "opentelemetry.exporter"}.isdisjoint(done.stdout.split())
