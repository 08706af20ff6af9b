"""The version that predictions carry."""

import hashlib
import re
from collections.abc import Sequence

from ml_backend.inference.model import Model
from ml_backend.pipeline.cache_keys import input_shaping
from ml_backend.settings import Settings

_OURS = re.compile(r".+@[0-9a-f]{8}\.[0-9a-f]{6}")  # see model_version


def is_ours(version: str) -> bool:
    """Tell whether a model version is one of Prelabel's."""
    return _OURS.fullmatch(version) is not None


def model_version(models: Sequence[Model[object]], settings: Settings, postprocessor: str) -> str:
    """Return ``<model name>@<fingerprint, 8 hex>.<digest, 6 hex>``, which changes exactly when predictions could.

    Name and fingerprint are those of the first model; the names of several are joined by ``+``. The digest covers the postprocessor, the
    shaping of the models' input, the fingerprints of the other models and the holdout fraction.

    Args:
        models: those that the label config needs, the detector first.
        settings: give the size of the input and the holdout fraction.
        postprocessor: digest of the postprocessor, 6 hex.
    """
    decisive = f"{postprocessor} {input_shaping(settings.model_input_max_side)}"
    for other in models[1:]:
        decisive += f" {other.fingerprint}"
    if settings.holdout_fraction:
        decisive += f" audit {settings.holdout_fraction}"
    digest = hashlib.sha256(decisive.encode("utf-8", "backslashreplace")).hexdigest()[:6]
    return f"{'+'.join(model.name for model in models)}@{models[0].fingerprint[:8]}.{digest}"
