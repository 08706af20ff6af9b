"""The interface of a store. Memory, SQLite and Redis implement it and pass the same tests."""

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from ml_backend.errors import CacheError


class StoreUnavailableError(CacheError):
    """The store does not answer, or not in time; an immediate retry would not help."""


class StoreRefusedError(CacheError):
    """The store answered with an error: this call failed, another may succeed."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Number of entries, and the bytes that they take."""

    entries: int
    room: int


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """One entry of a listing: its key, its size in bytes, and its header, which holds the time of writing."""

    key: str
    size: int
    head: bytes


class HeldLock(Protocol):
    """A lock that this process holds, until it is released or expires."""

    async def extend(self) -> bool:
        """Restart the time to expiry; tells whether the lock was still held."""

    async def release(self) -> None:
        """Release the lock, if it is still held."""


class LockService(Protocol):
    """Locks between processes, which expire when their holder dies. Raises the errors of :class:`Store`.

    Attributes:
        expiry: seconds after which a lock that is not extended ends.
    """

    expiry: float

    async def acquire(self, key: str) -> HeldLock | None:
        """Acquire the lock of the entry under ``key``; gives None while another process holds it."""


class Store(Protocol):
    """Keeps sealed entries (:mod:`ml_backend.cache.envelope`) by key, and may evict them at any time.

    Every method raises :class:`StoreUnavailableError` or :class:`StoreRefusedError`, and nothing else.

    Attributes:
        name: of the tier, in metrics and logs.
        location: for people, without passwords.
        timeout: seconds that one call may take.
        default_ttl: seconds that entries are used for where the settings do not say; None for ever.
        usage_scope: the space that :attr:`Usage.room` measures, as the end of "1,000 bytes …".
        locks: between the processes that share the store, or None where it has none.
    """

    name: str
    location: str
    timeout: float = 2.0  # a file on a local disk needs milliseconds, but may wait a second for another process
    default_ttl: int | None = None
    usage_scope: str = "in use"
    locks: LockService | None = None

    async def read(self, keys: Collection[str]) -> dict[str, bytes]:
        """Return the entries under ``keys``, in one round trip; missing ones are left out."""

    async def write(self, entries: Mapping[str, bytes]) -> None:
        """Keep ``entries``, evicting the least recently used; entries that alone are too large are dropped."""

    async def delete(self, keys: Collection[str]) -> int:
        """Delete ``keys``; gives how many existed."""

    def scan(self, prefix: str) -> AsyncIterator[list[StoredEntry]]:
        """List the entries whose keys start with ``prefix``, in portions; concurrent changes may be missed."""

    async def usage(self) -> Usage:
        """Return the number of entries and their bytes; cheap."""

    async def ping(self) -> None:
        """Check that the store answers; cheap, and without effect where it does not."""

    async def close(self) -> None:
        """Close files and connections."""
