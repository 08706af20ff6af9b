"""Where a bulk job writes its predictions."""

from ml_backend.bootstrap.destinations.destination import Destination, Predictions
from ml_backend.bootstrap.destinations.opening import open_destination

__all__ = ["Destination", "Predictions", "open_destination"]
