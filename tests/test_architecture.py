"""The rooms of docs/design.md, as contracts of import-linter in pyproject.toml."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LINT = Path(sys.executable).parent / "lint-imports"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the imports of the package in a folder."""
    return subprocess.run([LINT], cwd=folder, capture_output=True, text=True, check=False, timeout=60)


def test_no_import_goes_up_sideways_or_round() -> None:
    """Each room imports from those below it only."""
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("module", "line", "told"),
    [
        ("images/fetch.py", "import ml_backend.pipeline.prediction", "images is not allowed to import"),
        ("bootstrap/job.py", "import ml_backend.server.app", "bootstrap is not allowed to import"),
        (
            "feedback/store/tables.py",
            "import ml_backend.feedback.learning.calibration",
            "store is not allowed to import",
        ),
        ("errors.py", "import ml_backend.redaction", "errors is not allowed to import"),
        ("new_room.py", "", "new_room"),
    ],
    ids=["up", "up two floors", "up within a room", "sideways", "a room without a place"],
)
def test_import_in_the_wrong_direction_is_found(tmp_path: Path, module: str, line: str, told: str) -> None:
    """The contracts notice a new import that goes the wrong way, and a new room that has no layer."""
    shutil.copytree(ROOT / "ml_backend", tmp_path / "ml_backend", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "ml_backend" / module).open("a") as file:
        file.write(f"\n{line}\n")
    result = lint(tmp_path)
    assert result.returncode != 0
    assert told in " ".join(result.stdout.split())
