"""The rooms of docs/design.md, as contracts of import-linter in pyproject.toml."""

import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import pytest
from picture_server import PictureServer
from samples import BALLOON_CONFIG, balloon_file

from ml_backend.inference.detector import Detector
from ml_backend.inference.models import Models
from ml_backend.server.app import create_app
from ml_backend.settings import Settings

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


class Entered:
    """The modules of the package in which functions are called."""

    def __init__(self) -> None:
        self.modules: set[str] = set()
        self.on = False

    def profile(self, frame: FrameType, event: str, _: Any) -> None:
        """Note a call, in any thread."""
        name = frame.f_globals.get("__name__", "")
        if self.on and event == "call" and name.startswith("ml_backend."):
            self.modules.add(name)


async def test_steps_of_a_request_are_those_of_the_design(
    demo_detector: Detector, pictures: PictureServer, tmp_path: Path
) -> None:
    """A request goes through each module of the table in docs/design.md, and those are at most 25."""
    table = re.findall(r"^\| .+ \| `([\w/]+)\.py` \|$", (ROOT / "docs/design.md").read_text(), re.MULTILINE)
    steps = [f"ml_backend.{path.replace('/', '.')}" for path in table]
    entered = Entered()
    threading.setprofile(entered.profile)
    sys.setprofile(entered.profile)
    try:
        database = f"sqlite:///{tmp_path / 'feedback.sqlite3'}"
        app = create_app(Settings(cache="memory", database_url=database), Models(demo_detector))
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://x") as client,
        ):
            body: dict[str, Any] = {"label_config": BALLOON_CONFIG, "project": "1.1"}
            for name in ("first", "second"):  # the label config is known at the second
                entered.on = name == "second"
                image = pictures.add(f"/{name}.png", balloon_file() + name.encode())
                answer = await client.post("/predict", json=body | {"tasks": [{"id": 1, "data": {"image": image}}]})
                assert len(answer.json()["results"][0]["result"]) == 1
            entered.on = False
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert set(steps) <= entered.modules
    assert len(steps) <= 25
