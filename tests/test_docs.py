"""The documentation tells the truth about the code."""

import importlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from ml_backend.cli.common import app
from ml_backend.inference.demo_model import SHAPES
from ml_backend.metrics import Metrics
from ml_backend.postprocessing.postprocessor import Postprocessor
from ml_backend.postprocessing.served_controls import KnownClasses
from ml_backend.settings import RENAMED, VARIABLES, Settings
from ml_backend.stages import STAGES
from ml_backend.vocabularies.imagenet import imagenet_classes
from ml_backend.vocabularies.open_images import open_images_classes

ROOT = Path(__file__).parent.parent
CONFIGS_PAGE = ROOT / "label_config" / "README.md"
MONITORING = ROOT / "docs" / "monitoring.md"
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    CONFIGS_PAGE,
    *sorted((ROOT / "docs").rglob("*.md")),
]


def test_settings_page_has_every_setting() -> None:
    """One row each, in the order of the code, with the very words of the error messages."""
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE)
    described = [(VARIABLES[name], field.description) for name, field in Settings.model_fields.items()]
    assert rows == described


def heading_anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link and picture of a page exists, and so does the heading that a link names."""
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", page.read_text())
    targets = [(page.parent / target if target else page, anchor) for target, anchor in links]
    assert [target for target, _ in targets if not target.exists()] == []
    assert [each for each in targets if each[1] and each[1] not in heading_anchors(each[0])] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_settings_that_pages_name_exist(page: Path) -> None:
    """No page speaks of a setting that is not there; old names still work."""
    named = set(re.findall(r"\bPRELABEL_[A-Z_]+\b", page.read_text()))
    assert named <= {*VARIABLES.values(), *RENAMED}


def test_settings_page_has_every_renamed_setting() -> None:
    """Old and new name, in a table of their own."""
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \|$", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE)
    assert dict(rows) == RENAMED


def test_files_and_registries_that_recipes_name_exist() -> None:
    """Each path in CONTRIBUTING.md, and each registry in its file with at least one entry."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    paths = re.findall(r"`((?:ml_backend|tests|benchmarks)/[\w./]*)`", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []
    registries = re.findall(r"`([A-Z]+)` in `(ml_backend/[\w/]+)\.py`", text)
    assert [name for name, _ in registries] == ["READERS", "DETECTORS", "CLASSIFIERS", "RUNTIMES", "SINKS", "STORES"]
    for name, path in registries:
        assert getattr(importlib.import_module(path.replace("/", ".")), name)


def test_classes_that_recipes_name_exist() -> None:
    """Each base class or protocol in the module that CONTRIBUTING.md names."""
    classes = re.findall(r"`([A-Z]\w+)` of\s+`(ml_backend/[\w/]+)\.py`", (ROOT / "CONTRIBUTING.md").read_text())
    assert len(classes) == 5
    for name, path in classes:
        assert hasattr(importlib.import_module(path.replace("/", ".")), name)


def test_readme_stays_short() -> None:
    """Details belong into docs/."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_commands_that_are_shown_exist(name: str) -> None:
    """Each `prelabel` command with its options, and each make target."""
    page = (ROOT / name).read_text()
    for command, options in re.findall(r"^\S*prelabel (\w+)(.*)$", page, re.MULTILINE):
        usage = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).stdout
        assert all(option in usage for option in re.findall(r"--\w+", options))
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([\w-]+)", page, re.MULTILINE)) <= targets


MAKE = [str(shutil.which("make")), "--silent", "--no-print-directory", "-C", str(ROOT)]


def make(*arguments: str) -> list[str]:
    """Return the lines that make prints in the checkout."""
    return subprocess.run([*MAKE, *arguments], capture_output=True, text=True, check=True).stdout.splitlines()


def script(path: Path, *lines: str) -> None:
    """Write a program of the shell."""
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)


def test_make_help_shows_every_target_that_the_makefile_describes() -> None:
    """It prints the lines at the head of the Makefile."""
    assert make("help") == re.findall(r"^#   (make .*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_git_hooks_run_what_lint_runs() -> None:
    """Each command of `make lint` is a hook, run from .venv: no other version of a tool, and nothing to download."""
    repositories = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = [hook for repository in repositories for hook in repository["hooks"]]
    assert {line for line in make("--dry-run", "--old-file=.venv/dev", "lint") if line} <= {
        hook["entry"] for hook in hooks
    }
    assert {repository["repo"] for repository in repositories} == {"local"}
    assert {hook["language"] for hook in hooks} == {"system"}


def test_make_gives_commands_no_settings(tmp_path: Path) -> None:
    """So a command on the PATH does the same as one of make, on the same files."""
    script(tmp_path / "prelabel", 'echo "$@"', "env")
    names = ("PATH", "HOME", "LANG")
    environment = {name: value for name, value in os.environ.items() if name in names}
    command = [*MAKE, "--old-file=.venv/ready", f"BIN={tmp_path}", "prelabel", "ARGS=report --html 'a page.html'"]
    lines = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[0] == "report --html a page.html"
    given = {line.partition("=")[0] for line in lines[1:]}
    assert "UV_CACHE_DIR" in given
    assert not given & set(VARIABLES.values())


@pytest.mark.parametrize(("status", "expected"), [(0, 0), (1, 0), (2, 2)], ids=["nothing", "a finding", "no answer"])
def test_finding_of_the_doctor_is_no_error_of_make(tmp_path: Path, status: int, expected: int) -> None:
    """It has said the finding, and make would add "Error 1" as if it were broken itself."""
    script(tmp_path / "prelabel", f"exit {status}")
    command = [*MAKE, "--old-file=.venv/ready", f"BIN={tmp_path}", "doctor"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == expected


@pytest.mark.parametrize(
    ("target", "has_dev", "locks"),
    [
        ("demo", False, ["runtime"]),
        ("serve", False, ["runtime"]),
        ("test", False, ["runtime", "dev"]),
        ("demo", True, ["dev"]),
    ],
    ids=["demo", "serve", "test", "demo after test"],
)
def test_each_target_installs_no_more_than_it_needs(
    tmp_path: Path, target: str, has_dev: bool, locks: list[str]
) -> None:
    """Those that people use need the runtime alone; they remove nothing that tests need either."""
    locks_of_all = ("requirements/runtime.txt", "requirements/dev.txt", "deploy/helm/requirements.txt")
    for name in (*locks_of_all, "pyproject.toml", ".venv/made"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    if has_dev:
        (tmp_path / ".venv" / "dev").touch()
    shutil.copy(ROOT / "Makefile", tmp_path)
    command = [MAKE[0], "-C", str(tmp_path), "--dry-run", "UV=/bin/true", "APT=", target]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert re.findall(r" sync .*requirements/(\w+)\.txt", lines) == locks


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            [],
            [
                "Installing Debian's chromium postgresql for the tests that need it (make debian APT= leaves it out and skips them)",
                "apt-get update -qq",
            ],
        ),
        (["APT="], ["Not installed: chromium postgresql. The tests that need it are skipped."]),
    ],
    ids=["as root", "without apt"],
)
def test_packages_of_debian_are_announced(tmp_path: Path, arguments: list[str], expected: list[str]) -> None:
    """Before they are installed, with the way to avoid it."""
    script(tmp_path / "apt-get", 'echo "apt-get $@"')
    script(tmp_path / "id", "echo 0")
    script(tmp_path / "ls", "exit 2")  # this machine may have a Postgres below /usr/lib
    (tmp_path / "sed").symlink_to(str(shutil.which("sed")))
    command = [*MAKE, "SHELL=/bin/sh", "debian", *arguments]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=True)
    assert done.stdout.replace(f"{tmp_path}/", "").splitlines() == expected


CLASSES: KnownClasses = {"detector": open_images_classes().classes(), "classifier": imagenet_classes()}
LABEL_CONFIGS = sorted((ROOT / "label_config").glob("*.xml"))


@pytest.mark.parametrize("path", LABEL_CONFIGS, ids=lambda path: path.name)
def test_label_configs_are_served_whole(path: Path) -> None:
    """Every label and choice is reached by a class of the models that the config is for, so nothing is warned of; with both models neither."""
    (row,) = re.findall(rf"^\| \[{path.name}\]\(.*\) \| (.*) \| .* \|$", CONFIGS_PAGE.read_text(), re.MULTILINE)
    needed = {kind for kind in CLASSES if kind in row}
    classes = {kind: CLASSES[kind] for kind in needed}
    postprocessor = Postprocessor.from_label_config(path.read_text(), score_threshold=0.3, classes=classes)
    assert postprocessor.models == needed
    assert postprocessor.warnings == ()
    assert Postprocessor.from_label_config(path.read_text(), score_threshold=0.3, classes=CLASSES).warnings == ()


def test_demo_config_captures_every_class_of_the_demo_detector() -> None:
    """So that `prelabel explain` and `bootstrap` on its scenes call no class "not in this project"."""
    config = (ROOT / "label_config" / "demo.xml").read_text()
    postprocessor = Postprocessor.from_label_config(config, score_threshold=0.3, classes=CLASSES)
    ((control, label_map),) = postprocessor.rectangles
    captured = {each.name: label_map.assignment(*each) for each in CLASSES["detector"] or () if each.name in SHAPES}
    assert {name: found.label.value for name, found in captured.items() if found} == {name: name for name in SHAPES}
    assert {label.value for label in control.labels} == set(SHAPES)


def test_metrics_page_has_every_metric() -> None:
    """By name, without the endings that Prometheus adds to counters; old names need no mention."""
    named = set(re.findall(r"`(prelabel_[a-z_]+)`", MONITORING.read_text()))
    metrics = {each.name: each.documentation for each in Metrics().registry.collect()}
    current = {name for name, text in metrics.items() if not text.startswith("Old name of ")}
    assert current <= {name.removesuffix("_total") for name in named} <= set(metrics)


def test_monitoring_page_has_every_stage() -> None:
    """In the order of the code, with its very words."""
    rows = re.findall(r"^\| `([a-z_]+)` \| (.*) \|$", MONITORING.read_text(), re.MULTILINE)
    assert rows[-len(STAGES) :] == list(STAGES.items())
