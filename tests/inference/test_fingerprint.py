import shutil
from pathlib import Path

import pytest

from ml_backend.inference import demo_model
from ml_backend.inference.fingerprint import fingerprint


@pytest.fixture
def module(models_dir: Path, tmp_path: Path) -> Path:
    """Give a module to play with."""
    return Path(shutil.copytree(demo_model.build(models_dir), tmp_path / "module"))


def test_same_files_elsewhere_have_the_same_fingerprint(module: Path, tmp_path: Path) -> None:
    """Neither address nor folder counts."""
    copy = shutil.copytree(module, tmp_path / "other" / "name")
    assert fingerprint(str(module)) == fingerprint(str(copy))
    assert fingerprint(str(module)) == fingerprint(str(module) + "/")


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.data-00000-of-00001", "assets/labels.txt"])
def test_any_byte_of_the_model_counts(module: Path, name: str) -> None:
    """Other weights, graph or assets are another model."""
    before = fingerprint(str(module))
    path = module / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes((path.read_bytes() if path.exists() else b"") + b"\0")
    assert fingerprint(str(module)) != before


def test_files_beside_the_model_do_not_count(module: Path) -> None:
    """A note or a file manager's litter changes no prediction."""
    before = fingerprint(str(module))
    (module / "README.txt").write_text("mine")
    (module / ".DS_Store").write_bytes(b"\0")
    assert fingerprint(str(module)) == before
