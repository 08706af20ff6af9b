"""From detections to the project's own regions: read the label config, map classes to labels, select, and write regions."""

from ml_backend.labels.gesture import read_gesture
from ml_backend.labels.policy import Policy
from ml_backend.labels.regions import Prediction, Region

__all__ = ["Policy", "Prediction", "Region", "read_gesture"]
