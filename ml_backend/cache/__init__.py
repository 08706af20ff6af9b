"""Detections by picture content, so that no picture runs through the detector twice, and what is known of addresses."""

from ml_backend.cache.keys import address_key, detection_key, input_shaping
from ml_backend.cache.single_flight import SingleFlight
from ml_backend.cache.store import Store
from ml_backend.cache.tiers import Cache, TierReport, open_store

__all__ = [
    "Cache",
    "SingleFlight",
    "Store",
    "TierReport",
    "address_key",
    "detection_key",
    "input_shaping",
    "open_store",
]
