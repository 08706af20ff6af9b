"""The tier in this process: bounded by bytes, least recently used out first."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Collection, Mapping

from ml_backend.cache.envelope import HEADER
from ml_backend.cache.stores.store import Store, StoredEntry, Usage

ENTRY_OVERHEAD = 450  # key, bytes objects and dictionary slot; measured with sys.getsizeof on CPython 3.11


class MemoryStore(Store):
    """Entries in memory, never more than ``max_bytes`` in all."""

    name = "memory"

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.location = f"memory, {max_bytes:,} bytes"
        self._used = 0
        self._entries: OrderedDict[str, bytes] = OrderedDict()

    async def read(self, keys: Collection[str]) -> dict[str, bytes]:
        """Return what is kept under ``keys``, which then counts as used just now."""
        found = {key: self._entries[key] for key in keys if key in self._entries}
        for key in found:
            self._entries.move_to_end(key)
        return found

    async def write(self, entries: Mapping[str, bytes]) -> None:
        """Keep ``entries``, at the cost of those that were used longest ago; not at all those that alone are too large."""
        for key, sealed in entries.items():
            self._forget(key)
            if len(sealed) + ENTRY_OVERHEAD <= self.max_bytes:
                self._entries[key] = sealed
                self._used += len(sealed) + ENTRY_OVERHEAD
        while self._used > self.max_bytes:
            self._forget(next(iter(self._entries)))

    async def delete(self, keys: Collection[str]) -> int:
        """Forget ``keys``; gives how many there were."""
        return sum(self._forget(key) for key in keys)

    async def scan(self, prefix: str) -> AsyncIterator[list[StoredEntry]]:
        """List the entries whose keys start with ``prefix``."""
        entries = list(self._entries.items())
        yield [
            StoredEntry(key, len(sealed), sealed[: HEADER.size]) for key, sealed in entries if key.startswith(prefix)
        ]

    async def usage(self) -> Usage:
        """Return the entries and about how much memory they take."""
        return Usage(len(self._entries), self._used)

    async def ping(self) -> None:
        """Answer."""

    async def close(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._used = 0

    def _forget(self, key: str) -> bool:
        sealed = self._entries.pop(key, None)
        if sealed is not None:
            self._used -= len(sealed) + ENTRY_OVERHEAD
        return sealed is not None
