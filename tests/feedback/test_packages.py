"""The packages of feedback build on each other in one direction, and know the pipeline by a protocol."""

import ast
from pathlib import Path

import pytest

import ml_backend.feedback

FEEDBACK = Path(ml_backend.feedback.__file__).parent
BELOW = {
    "store": set[str](),
    "ingest": {"store"},
    "evaluation": {"store"},
    "learning": {"store", "ingest", "evaluation"},
}


@pytest.mark.parametrize("package", BELOW)
def test_packages_import_only_those_below(package: str) -> None:
    """No package imports one above it or beside it."""
    imported = {
        node.module
        for file in (FEEDBACK / package).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module
    }
    within = {name.split(".")[2] for name in imported if name.startswith("ml_backend.feedback.")}
    assert within <= BELOW[package] | {package}
    assert "ml_backend.pipeline.prediction" not in imported
