"""Fixtures for tests of contracts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml_backend.inference.contracts.contract import Signature
from ml_backend.inference.runtimes.tensorflow import signatures, tf


@pytest.fixture
def signature(tmp_path: Path) -> Callable[..., Signature]:
    """Give a function that saves a model with constant outputs for some inputs, loads it, and returns its signature."""

    def save(outputs: dict[str, Any], *inputs: Any) -> Signature:
        module = tf.Module()
        module.answer = tf.function(lambda *_: outputs, input_signature=inputs)
        tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": module.answer})
        (found,) = signatures(tf.saved_model.load(str(tmp_path)))
        return found

    return save
