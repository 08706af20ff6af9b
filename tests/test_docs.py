"""The documentation tells the truth about the code."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ml_backend.cli import app
from ml_backend.labels import Policy
from ml_backend.metrics import Metrics
from ml_backend.open_images import open_images_classes
from ml_backend.settings import VARIABLES, Settings

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_settings_page_has_every_setting() -> None:
    """One row each, in the order of the code, with the very words of the error messages."""
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE)
    described = [(VARIABLES[name], field.description) for name, field in Settings.model_fields.items()]
    assert rows == described


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link and picture of a page exists."""
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert all((page.parent / target).exists() for target in targets)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_that_pages_name_exist(page: Path) -> None:
    """No page speaks of a setting that is not there."""
    named = set(re.findall(r"\bPRELABEL_[A-Z_]+\b", page.read_text()))
    assert named <= set(VARIABLES.values())


def test_commands_that_the_readme_shows_exist() -> None:
    """Each `prelabel` command with its options, and each make target."""
    readme = (ROOT / "README.md").read_text()
    for command, options in re.findall(r"^\S*prelabel (\w+)(.*)$", readme, re.MULTILINE):
        usage = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).stdout
        assert all(option in usage for option in re.findall(r"--\w+", options))
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake (demo|test|serve|\w+-\w+)\b", readme)) <= targets


@pytest.mark.parametrize("path", sorted((ROOT / "label_config").glob("*.xml")), ids=lambda path: path.name)
def test_label_configs_are_served_whole(path: Path) -> None:
    """Every label is reached by a class, so nothing is warned of."""
    policy = Policy.from_label_config(path.read_text(), score_threshold=0.3, class_list=open_images_classes())
    assert policy.warnings == ()


def test_metrics_page_has_every_metric() -> None:
    """By name, without the endings that Prometheus adds to counters."""
    named = set(re.findall(r"`(prelabel_[a-z_]+)`", (ROOT / "docs" / "cache.md").read_text()))
    assert {name.removesuffix("_total") for name in named} == {each.name for each in Metrics().registry.collect()}
