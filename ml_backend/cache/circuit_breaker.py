"""A circuit breaker: while a store does not answer, calls fail at once instead of waiting for the time-out each time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from ml_backend.cache.stores.store import Store, StoreRefusedError, StoreUnavailableError

log = structlog.get_logger(__name__)

T = TypeVar("T")

PROBE_EVERY = 1.0  # seconds
REFUSALS_LOGGED_EVERY = 60.0  # seconds


class CircuitBreaker:
    """Calls a store within a time limit. Opens when the store is unavailable, and closes when a probe in the background succeeds.

    The usual half-open state would make one caller wait for each probe.

    Args:
        store: is probed with its ``ping``.
        timeout: seconds that one call may take.
        on_change: called with True when the breaker opens, and with False when it closes.
    """

    def __init__(self, store: Store, *, timeout: float, on_change: Callable[[bool], None] = lambda _: None) -> None:
        self._store = store
        self._timeout = timeout
        self._on_change = on_change
        self._probing: asyncio.Task[None] | None = None
        self._closed = False
        self._last_refusal = -REFUSALS_LOGGED_EVERY

    @property
    def is_open(self) -> bool:
        """Whether calls fail without reaching the store."""
        return self._closed or (self._probing is not None and not self._probing.done())

    async def call(self, work: Callable[[], Awaitable[T]]) -> T:
        """Return the result of ``work``, which calls the store.

        Raises:
            StoreUnavailableError: the store did not answer in time, or the breaker is open.
            StoreRefusedError: the store answered with an error.
        """
        if self.is_open:
            raise StoreUnavailableError(f"{self._store.name} does not answer at the moment")
        try:
            return await self._within_limit(work)
        except StoreUnavailableError as error:
            self._open(str(error))
            raise
        except StoreRefusedError as error:
            now = asyncio.get_running_loop().time()
            if now - self._last_refusal >= REFUSALS_LOGGED_EVERY:
                self._last_refusal = now
                log.warning(
                    "a cache tier refused a call; continuing without it", tier=self._store.name, cause=str(error)
                )
            raise

    async def _within_limit(self, work: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(self._timeout):
                return await work()
        except TimeoutError:
            raise StoreUnavailableError(f"{self._store.name} did not answer within {self._timeout:g} s") from None

    def _open(self, cause: str) -> None:
        if not self.is_open:
            log.warning("a cache tier does not answer; continuing without it", tier=self._store.name, cause=cause)
            self._on_change(True)
            self._probing = asyncio.create_task(self._probe())

    async def _probe(self) -> None:
        answers = False
        while not answers:
            await asyncio.sleep(PROBE_EVERY)
            try:
                await self._within_limit(self._store.ping)
                answers = True
            except StoreRefusedError:
                answers = True
            except StoreUnavailableError:
                pass
        log.info("a cache tier answers again", tier=self._store.name)
        self._on_change(False)

    async def close(self) -> None:
        """Stop probing, and fail all further calls."""
        self._closed = True
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)
