"""The store in this process: bounded in bytes, evicting the least recently used entries."""

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
        self.location = f"memory, at most {max_bytes / 1e6:,g} MB"
        self._used = 0
        self._entries: OrderedDict[str, bytes] = OrderedDict()

    async def read(self, keys: Collection[str]) -> dict[str, bytes]:
        """Return the entries under ``keys``, and mark them as used."""
        found = {key: self._entries[key] for key in keys if key in self._entries}
        for key in found:
            self._entries.move_to_end(key)
        return found

    async def write(self, entries: Mapping[str, bytes]) -> None:
        """Keep ``entries``, evicting the least recently used; entries that alone are too large are dropped."""
        for key, sealed in entries.items():
            self._delete(key)
            if len(sealed) + ENTRY_OVERHEAD <= self.max_bytes:
                self._entries[key] = sealed
                self._used += len(sealed) + ENTRY_OVERHEAD
        while self._used > self.max_bytes:
            self._delete(next(iter(self._entries)))

    async def delete(self, keys: Collection[str]) -> int:
        """Delete ``keys``; gives how many existed."""
        return sum(self._delete(key) for key in keys)

    async def scan(self, prefix: str) -> AsyncIterator[list[StoredEntry]]:
        """List the entries whose keys start with ``prefix``."""
        entries = list(self._entries.items())
        yield [
            StoredEntry(key, len(sealed), sealed[: HEADER.size]) for key, sealed in entries if key.startswith(prefix)
        ]

    async def usage(self) -> Usage:
        """Return the number of entries and about how much memory they take."""
        return Usage(len(self._entries), self._used)

    async def ping(self) -> None:
        """Return at once."""

    async def close(self) -> None:
        """Delete everything."""
        self._entries.clear()
        self._used = 0

    def _delete(self, key: str) -> bool:
        sealed = self._entries.pop(key, None)
        if sealed is not None:
            self._used -= len(sealed) + ENTRY_OVERHEAD
        return sealed is not None
