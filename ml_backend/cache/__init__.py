"""Detections by picture content, so that no picture runs through the detector twice."""

from ml_backend.cache.keys import detection_key
from ml_backend.cache.memory import MemoryCache
from ml_backend.cache.protocol import DetectionCache
from ml_backend.cache.single_flight import SingleFlight

__all__ = ["DetectionCache", "MemoryCache", "SingleFlight", "detection_key"]
