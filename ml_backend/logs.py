"""Logging of the whole process, including uvicorn: JSON lines, or coloured text at a terminal."""

import logging
import sys
import warnings

import structlog
import structlog.tracebacks

# Tracebacks without local variables, which hold tokens and passwords of the failed request.
_TRACES = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


def configure_logging(level: str) -> None:
    """Send every log record to standard error, as JSON unless that is a terminal.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
    """
    # Pillow warns of odd metadata in images, which are of no use here; real problems raise.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    terminal = sys.stderr.isatty()
    renderer: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if terminal
        else [_TRACES, structlog.processors.JSONRenderer()]
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
    for routed in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(routed).handlers.clear()
        logging.getLogger(routed).propagate = True
