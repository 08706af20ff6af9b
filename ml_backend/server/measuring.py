"""Measures requests: the histogram by route, and the span that the spans of the stages are below."""

from contextlib import nullcontext
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ml_backend.server.service import Service


class MeasuredRequests:
    """Middleware around the whole application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Measure a request from its headers to the end of its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        service: Service = scope["app"].state.service
        status = 500  # also where the application fails before it answers

        async def send_and_see(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        traces = service.traces
        with nullcontext() if traces is None else traces.request(scope["method"], _headers(scope)) as trace:
            try:
                await self._app(scope, receive, send_and_see)
            finally:
                route = _route(scope)
                service.pipeline.metrics.requests.labels(route, f"{status // 100}xx").observe(perf_counter() - started)
                if trace is not None:
                    trace.answered(route, status)


def _route(scope: Scope) -> str:
    """Return the path of a request's route; ``other`` for a path without one, which anybody can invent."""
    return getattr(scope.get("route"), "path", "other")


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
