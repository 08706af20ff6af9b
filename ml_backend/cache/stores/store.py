"""What a tier can do. Memory, SQLite and Redis have this one shape and pass the same tests."""

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from ml_backend.errors import CacheError


class StoreUnavailableError(CacheError):
    """Nothing answers, or not in time: asking again at once is no use."""


class StoreRefusedError(CacheError):
    """The store answered with an error: this call failed, another may not."""


@dataclass(frozen=True, slots=True)
class Usage:
    """How much is kept: number of entries, and bytes of room that they take."""

    entries: int
    room: int


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """One entry in a listing: its key, its size in bytes, and its first bytes, which say when it was written."""

    key: str
    size: int
    head: bytes


class Store(Protocol):
    """Keeps sealed entries (:mod:`ml_backend.cache.envelope`) by key. May forget them at any time.

    Every method raises :class:`StoreUnavailableError` or :class:`StoreRefusedError`, and nothing else.

    Attributes:
        name: the tier's name in metrics and logs.
        location: where it is, for people, without passwords.
    """

    name: str
    location: str

    async def read(self, keys: Collection[str]) -> dict[str, bytes]:
        """Return what is kept under ``keys``, in one round trip; what is missing is left out."""

    async def write(self, entries: Mapping[str, bytes]) -> None:
        """Keep ``entries``, at the cost of those that were used longest ago, or not at all where they are too large."""

    async def delete(self, keys: Collection[str]) -> int:
        """Forget ``keys``; gives how many there were."""

    def scan(self, prefix: str) -> AsyncIterator[list[StoredEntry]]:
        """List the entries whose keys start with ``prefix``, in portions; what changes meanwhile may be missed."""

    async def usage(self) -> Usage:
        """Return how much is kept; cheap."""

    async def ping(self) -> None:
        """Find out whether it answers; cheap, and leaves nothing behind where it does not."""

    async def close(self) -> None:
        """Let go of files and connections."""
