"""``prelabel bootstrap --tiles``: small objects in large images, with what an earlier run has found."""

import json
from pathlib import Path
from typing import Any

import pytest
from bootstrap_command import run, run_apart
from PIL import Image
from samples import BALLOON_CONFIG, balloon_file, encoded, large_scene

from ml_backend.bootstrap.checkpoint import Checkpoint
from ml_backend.model_results import TILING

OPTIONS = ("pictures", "--config", "config.xml", "--to", "tasks.json")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models_dir: Path) -> Path:
    """Give a folder to run in, with a small and a large picture: the large one has a balloon that is seen in tiles only."""
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(models_dir))
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(balloon_file())
    (tmp_path / "pictures" / "b.png").write_bytes(encoded(Image.fromarray(large_scene())))
    (tmp_path / "config.xml").write_text(BALLOON_CONFIG)
    return tmp_path


def boxes(folder: Path) -> list[int]:
    """Return the number of boxes of each task."""
    tasks: list[dict[str, Any]] = json.loads((folder / "tasks.json").read_text())
    return [len(task["predictions"][0]["result"]) for task in tasks]


def test_switching_on_and_off_keeps_what_is_known(folder: Path) -> None:
    """With one checkpoint and no cache: tiles are added to what is there, and without them nothing is examined again."""
    seen = []
    outputs = []
    for options in ((), ("--tiles", "2"), (), ("--tiles", "2")):
        status, told, complaint = run(*OPTIONS, *options, folder=folder, PRELABEL_CACHE="none")
        assert status == 0, complaint
        seen.append((told[-1]["items"], told[-1]["pictures"] - told[-1]["known"], boxes(folder)))
        outputs.append((folder / "tasks.json").read_bytes())
    assert seen == [(2, 2, [1, 1]), (2, 1, [1, 2]), (0, 0, [1, 1]), (0, 0, [1, 2])]
    assert outputs[:2] == outputs[2:]


def test_checkpoint_tells_the_version_of_its_tiles(folder: Path) -> None:
    """Once it has some: results of tiles that lie elsewhere are not mixed with them, and a job without tiles is as before them."""
    told = []
    for options in ((), ("--tiles", "2"), ()):
        assert run(*OPTIONS, *options, folder=folder, PRELABEL_CACHE="none")[0] == 0
        with Checkpoint(folder / "tasks.json.journal") as checkpoint:
            told.append(checkpoint.recall("tiles"))
    assert told == [None, str(TILING), str(TILING)]
    with Checkpoint(folder / "tasks.json.journal") as checkpoint:
        checkpoint.remember("tiles", "0")
    status, _, complaint = run(*OPTIONS, "--tiles", "2", folder=folder, PRELABEL_CACHE="none")
    assert status == 2
    assert "its tiles was 0, now it is" in complaint


def test_option_takes_the_place_of_the_setting(folder: Path) -> None:
    """As other options do."""
    assert run(*OPTIONS, "--tiles", "0", folder=folder, PRELABEL_TILES="2")[0] == 0
    assert boxes(folder) == [1, 1]


def test_wrong_number_is_refused(folder: Path) -> None:
    """With the numbers that there are."""
    status, _, complaint = run(*OPTIONS, "--tiles", "7", folder=folder)
    assert status == 2
    assert "2, 3 or 4" in complaint


def test_dry_run_shows_both_side_by_side(folder: Path) -> None:
    """The small picture costs no further run, the large one four."""
    status, told, _ = run("pictures", "--config", "config.xml", "--dry-run", "5", "--tiles", "2", folder=folder)
    assert status == 0
    whole, both = told[-1]["views"]["whole"], told[-1]["views"]["with_tiles"]
    assert (whole["labels"], whole["runs"]) == ({"Balloon": 2}, 1)
    assert (both["labels"], both["runs"]) == ({"Balloon": 3}, 3)
    assert 0 < whole["seconds"] < both["seconds"]


def test_cluster_gives_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers of Ray look at tiles too, and send back what they find."""
    pytest.importorskip("ray", reason="needs the extra prelabel[ray]")
    assert run(*OPTIONS, "--tiles", "2", folder=folder, PRELABEL_CACHE="none")[0] == 0
    here = (folder / "tasks.json").read_bytes()
    for file in folder.glob("tasks.json*"):
        file.unlink()
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    options = ("--tiles", "2", "--engine", "ray", "--workers", "1")
    status, _, complaint = run_apart(*OPTIONS, *options, folder=folder, PRELABEL_CACHE="none")
    assert status == 0, complaint
    assert (folder / "tasks.json").read_bytes() == here
