"""The shared models and photographs, which only tests of published figures need."""

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).parent.parent.parent / "shared"


def shared_folder(figure: str) -> Path:
    """Return the folder of the shared models and photographs, which continuous integration must have and others may lack.

    Args:
        figure: what is published and where; the reason of the skip, where the folder is missing.
    """
    if not SHARED.is_dir():
        reason = f"published: {figure}; needs the models and photographs in {SHARED}"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(f"must not be skipped here: {reason}")
        pytest.skip(reason)
    return SHARED
