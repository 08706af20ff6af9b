"""What a store of detections can do. Every tier has this shape."""

from typing import Protocol

from ml_backend.detections import Detections


class DetectionCache(Protocol):
    """Keeps raw detections under :func:`ml_backend.cache.keys.detection_key`. May forget, must never be wrong, does not raise."""

    async def get(self, key: str) -> Detections | None:
        """Return what is kept under ``key``, or None."""

    async def put(self, key: str, detections: Detections) -> None:
        """Keep ``detections`` under ``key``, if there is room."""
