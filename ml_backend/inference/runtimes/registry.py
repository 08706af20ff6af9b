"""The runtimes that Prelabel knows. A new one is a module beside this one and a line in :data:`RUNTIMES`."""

from ml_backend.inference.runtimes.runtime import Runtime
from ml_backend.inference.runtimes.tensorflow import TensorFlow

RUNTIMES: dict[str, Runtime] = {
    "tensorflow": TensorFlow(),
}
"""Runtimes by name. The detector uses ``tensorflow``."""
