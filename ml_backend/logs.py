"""Logging of the whole process, including uvicorn: short lines for people at a terminal, JSON lines elsewhere."""

import logging
import sys
import warnings
from typing import Literal

import structlog
import structlog.tracebacks

LogFormat = Literal["auto", "text", "json"]

# Tracebacks without local variables, which hold tokens and passwords of the failed request.
_TRACES = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


def configure_logging(level: str, form: LogFormat = "auto") -> None:
    """Send every log record to standard error.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        form: ``text`` is ``15:04:05 [warning  ] task failed code='image_fetch'``, in colours on a terminal; ``json`` has the date, UTC and
            the logger too; ``auto`` is ``text`` on a terminal and ``json`` elsewhere.
    """
    # Pillow warns of odd metadata in images, which are of no use here; real problems raise.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    is_terminal = sys.stderr.isatty()
    is_text = form == "text" or (form == "auto" and is_terminal)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        *(_of_text() if is_text else _of_json()),
    ]
    renderer: list[structlog.typing.Processor] = (
        [_console(colours=is_terminal)] if is_text else [_TRACES, structlog.processors.JSONRenderer()]
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    for noisy in ("tensorflow", "absl", "alembic", "urllib3", "httpx", "asyncio", "PIL"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("opentelemetry").setLevel(
        logging.CRITICAL
    )  # its words come with each try; tracing.py says it once a minute
    for routed in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(routed).handlers.clear()
        logging.getLogger(routed).propagate = True
    # Four lines about its start, beside our own "ready".
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING if is_text else logging.NOTSET)


def _of_json() -> list[structlog.typing.Processor]:
    return [structlog.stdlib.add_logger_name, structlog.processors.TimeStamper(fmt="iso", utc=True)]


def _of_text() -> list[structlog.typing.Processor]:
    return [structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False)]


def _console(*, colours: bool) -> structlog.dev.ConsoleRenderer:
    # repr: a value may come from outside, and terminals obey control characters.
    return structlog.dev.ConsoleRenderer(
        colors=colours,
        pad_event_to=0,
        repr_native_str=True,
        sort_keys=False,
        exception_formatter=structlog.dev.plain_traceback,
    )
