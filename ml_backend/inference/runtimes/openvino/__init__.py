"""The OpenVINO runtime: models are converted once, compared with TensorFlow, and run without it from then on."""

import sys
from typing import Any

# OpenVINO 2026.4 reports each import and each conversion to Google Analytics, unless its user has declined. Without this package it calls
# stubs of its own, and nothing is sent.
_modules: dict[str, Any] = sys.modules
_modules.setdefault("openvino_telemetry", None)
