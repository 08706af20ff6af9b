"""Traces for OpenTelemetry: a span for each request, and below it one for each of its stages. Off unless ``OTEL_EXPORTER_OTLP_ENDPOINT`` is set.

A thread of OpenTelemetry's SDK sends ended spans from a bounded queue, so a collector that is slow or away delays no request. The SDK is
an extra, and is imported only where traces are on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Self

import structlog

from ml_backend import __version__
from ml_backend.errors import PrelabelError
from ml_backend.redaction import redact
from ml_backend.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
    from opentelemetry.trace import Span, Tracer

log = structlog.get_logger(__name__)

MAX_SPANS = 1000  # of the stages of one request: 50,000 tasks have hundreds of thousands
CLOSE_SECONDS = 1  # for the last spans, when the service stops
QUIET_SECONDS = 60  # between two lines of the log about the collector
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}  # OpenTelemetry calls any other one _OTHER


class RequestTrace:
    """The span of a request that runs, and those of its stages, at most :data:`MAX_SPANS`."""

    def __init__(self, tracer: Tracer, span: Span, method: str) -> None:
        from opentelemetry.trace import set_span_in_context

        self._tracer = tracer
        self._span = span
        self._method = method
        self._below = set_span_in_context(span)
        self._stages = 0

    def stage(self, name: str, image: object) -> Span | None:
        """Begin the span of a stage; gives None where there are too many.

        Args:
            name: of the stage.
            image: the reference of the image that it works on, or None.
        """
        self._stages += 1
        if self._stages > MAX_SPANS:
            return None
        attributes = None if image is None else {"prelabel.image": redact(str(image))}
        return self._tracer.start_span(name, self._below, attributes=attributes)

    def answered(self, route: str, status: int) -> None:
        """Add the facts about the answer to the request's span."""
        from opentelemetry.trace import Status, StatusCode

        self._span.update_name(f"{self._method} {route}")
        self._span.set_attributes({"http.route": route, "http.response.status_code": status})
        if self._stages > MAX_SPANS:
            self._span.set_attribute("prelabel.stages_without_span", self._stages - MAX_SPANS)
        if status >= 500:
            self._span.set_status(Status(StatusCode.ERROR))


current_trace: ContextVar[RequestTrace | None] = ContextVar("current_trace", default=None)
"""The trace of the request for which code runs; None without traces."""


def mark_failed(span: Span, error: BaseException) -> None:
    """Give a span the status of an error: its code, since its text may quote what came from outside."""
    from opentelemetry.trace import Status, StatusCode

    cause = error.code if isinstance(error, PrelabelError) else type(error).__name__
    span.set_status(Status(StatusCode.ERROR, cause))


class Traces:
    """Makes the spans of requests and sends them to a collector.

    Args:
        endpoint: the address of the collector, without ``/v1/traces``. The SDK reads the other ``OTEL_`` variables.
    """

    def __init__(self, endpoint: str) -> None:
        from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        ours = Resource.create({SERVICE_NAME: "prelabel", SERVICE_VERSION: __version__})
        self._exporter = _exporter(endpoint)
        self._provider = TracerProvider(resource=ours.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("prelabel", __version__)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self | None:
        """Return the traces that the settings switch on; None where they do not, or where the SDK is missing."""
        endpoint = settings.traces_endpoint
        return cls(endpoint) if endpoint is not None and settings.sends_traces else None

    @contextmanager
    def request(self, method: str, headers: Mapping[str, str]) -> Iterator[RequestTrace | None]:
        """Make the span of a request during the block, below the caller's span; None where the trace is not sampled.

        Args:
            method: of HTTP.
            headers: with names in lower case; ``traceparent`` and ``tracestate`` name the caller's span (W3C Trace Context).
        """
        from opentelemetry.trace import SpanKind, format_trace_id
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        caller = TraceContextTextMapPropagator().extract(headers)
        known = method if method in METHODS else "_OTHER"
        with self._tracer.start_as_current_span(
            known,
            caller,
            SpanKind.SERVER,
            {"http.request.method": known},
            record_exception=False,  # texts of errors may quote what came from outside
            set_status_on_exception=False,
        ) as span:
            if not span.is_recording():
                yield None
                return
            trace = RequestTrace(self._tracer, span, known)
            token = current_trace.set(trace)
            trace_id = format_trace_id(span.get_span_context().trace_id)
            try:
                with structlog.contextvars.bound_contextvars(trace_id=trace_id):
                    yield trace
            finally:
                current_trace.reset(token)

    def close(self) -> None:
        """Send what waits, within :data:`CLOSE_SECONDS`."""
        ending = threading.Thread(target=self._provider.shutdown, name="last traces", daemon=True)
        ending.start()
        ending.join(CLOSE_SECONDS)
        if ending.is_alive():  # the collector does not answer
            self._exporter.shutdown()


def _exporter(endpoint: str) -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import SpanExportResult

    class Exporter(OTLPSpanExporter):
        """Says at most once in :data:`QUIET_SECONDS` that the collector fails; the SDK would do so at each try."""

        _quiet_until = 0.0  # of time.monotonic()

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            result = super().export(spans)
            if result is not SpanExportResult.SUCCESS and time.monotonic() >= self._quiet_until:
                self._quiet_until = time.monotonic() + QUIET_SECONDS
                log.warning("traces cannot be sent; spans are lost meanwhile", collector=redact(endpoint))
            return result

    return Exporter(f"{endpoint.rstrip('/')}/v1/traces")
