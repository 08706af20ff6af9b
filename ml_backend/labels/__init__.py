"""From detections to the project's own regions: read the label config, map classes to labels, select, and write regions."""

from ml_backend.labels.config import parse_label_config
from ml_backend.labels.controls import Control, Source
from ml_backend.labels.gesture import read_gesture
from ml_backend.labels.learned import NOTHING_LEARNED, Learned
from ml_backend.labels.mapping import LabelMap
from ml_backend.labels.policy import Policy
from ml_backend.labels.regions import Prediction, Region, label_of
from ml_backend.labels.selection import Fate, select

__all__ = [
    "NOTHING_LEARNED",
    "Control",
    "Fate",
    "LabelMap",
    "Learned",
    "Policy",
    "Prediction",
    "Region",
    "Source",
    "label_of",
    "parse_label_config",
    "read_gesture",
    "select",
]
