"""The version that predictions carry."""

import hashlib
import re

from ml_backend.inference.detector import Detector
from ml_backend.pipeline.cache_keys import input_shaping
from ml_backend.settings import Settings

_OURS = re.compile(r".+@[0-9a-f]{8}\.[0-9a-f]{6}")  # as model_version writes it


def is_ours(version: str) -> bool:
    """Tell whether a model version is one of Prelabel's."""
    return _OURS.fullmatch(version) is not None


def model_version(detector: Detector, settings: Settings, postprocessor: str) -> str:
    """Return ``<model name>@<fingerprint, 8 hex>.<policy digest, 6 hex>``: it changes exactly when predictions could.

    The last part covers the policy, how the detector's input is made, and how many pictures are answered without boxes.

    Args:
        detector: what finds.
        settings: what says how its input is made.
        postprocessor: digest of the policy.
    """
    decisive = f"{postprocessor} {input_shaping(settings.model_input_max_side)}"
    if settings.holdout_fraction:
        decisive += f" audit {settings.holdout_fraction}"
    digest = hashlib.sha256(decisive.encode("utf-8", "backslashreplace")).hexdigest()[:6]
    return f"{detector.name}@{detector.fingerprint[:8]}.{digest}"
