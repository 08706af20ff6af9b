"""The package as users install it: its files, its metadata, and what plain pip makes of it."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
UV = os.environ.get("UV") or shutil.which("uv") or str(ROOT / ".tools" / "uv" / "bin" / "uv")
ADDRESS = "https://github.com/prelabel/prelabel"
PICTURES = "https://raw.githubusercontent.com/prelabel/prelabel/main"
EXTRAS = {
    "ray": "ray",
    "s3": "s3fs",
    "gs": "gcsfs",
    "int8": "nncf",
    "otel": "opentelemetry-exporter-otlp-proto-http",
    "label-studio-ml": "label-studio-ml",
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # they ask the package index


@dataclass(frozen=True)
class Package:
    """A wheel, and the archive of sources that it was built from."""

    wheel: Path
    sources: Path

    @property
    def metadata(self) -> Message:
        """The metadata of the wheel, with the README as its body."""
        with zipfile.ZipFile(self.wheel) as wheel:
            (name,) = [each for each in wheel.namelist() if each.endswith(".dist-info/METADATA")]
            return message_from_bytes(wheel.read(name))

    @property
    def readme(self) -> str:
        """The README as a package index shows it."""
        payload = self.metadata.get_payload(decode=True)
        assert isinstance(payload, bytes)
        return payload.decode()


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """Build the sources from the checkout, and the wheel from the sources."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([UV, "build", "--quiet", "--out-dir", folder, ROOT], check=True)
    (wheel,), (sources,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Package(wheel, sources)


def package_files() -> set[str]:
    """Return the files of the package in the checkout, by their paths there."""
    files = (ROOT / "ml_backend").rglob("*")
    return {str(each.relative_to(ROOT)) for each in files if each.is_file() and "__pycache__" not in each.parts}


def test_wheel_holds_the_package_and_nothing_else(package: Package) -> None:
    """Also what is no Python: pages, class lists, licences, and the mark that types are checked."""
    with zipfile.ZipFile(package.wheel) as wheel:
        names = {each for each in wheel.namelist() if ".dist-info/" not in each}
        assert len([each for each in wheel.namelist() if ".dist-info/licenses/" in each]) == 2
    assert names == package_files()
    assert "ml_backend/py.typed" in names
    assert {Path(each).suffix for each in names} >= {".py", ".html", ".csv", ".txt"}


def test_sources_hold_tests_and_locks(package: Package) -> None:
    """A distribution can test what it builds; folders that git ignores stay out."""
    with tarfile.open(package.sources) as archive:
        names = {each.partition("/")[2] for each in archive.getnames()}
    assert names >= package_files() | {"Makefile", "requirements/runtime.txt", "tests/test_package.py", "LICENSE"}
    assert not {each.partition("/")[0] for each in names} & {"data", "build", "dist", ".venv", ".cache", ".tools"}


def test_addresses_of_the_project_are_told(package: Package) -> None:
    """An index links to them."""
    addresses = dict(each.split(", ", 1) for each in package.metadata.get_all("Project-URL", []))
    assert set(addresses) == {"Homepage", "Documentation", "Source", "Changelog", "Issues"}
    assert all(each.startswith(ADDRESS) for each in addresses.values())


def test_readme_works_away_from_the_repository(package: Package) -> None:
    """Links and pictures are absolute there, and each leads to a file of the checkout."""
    links = re.findall(r"\]\(([^)]*)\)|(?:src|href)=\"([^\"]*)\"", package.readme)
    addresses = [markdown or html for markdown, html in links]
    assert [each for each in addresses if not each.startswith(("https://", "#"))] == []
    paths = [
        re.sub("#.*", "", each.removeprefix(place).lstrip("/"))
        for each in addresses
        for place in (f"{ADDRESS}/blob/main", PICTURES)
        if each.startswith(place)
    ]
    assert len(paths) > 10
    assert [each for each in paths if not (ROOT / each).exists()] == []


def test_index_would_accept_the_package(package: Package) -> None:
    """It renders the README and knows the metadata."""
    command = [UV, "tool", "run", "twine", "check", "--strict", str(package.wheel), str(package.sources)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """Give the folder of a fresh environment with pip."""
    venv.create(tmp_path / "environment", with_pip=True)
    return tmp_path / "environment"


def test_installed_command_runs_from_site_packages(package: Package, environment: Path, tmp_path: Path) -> None:
    """It does the main job there, with its own page and class lists, and its files are the user's and not those of a checkout."""
    pip = [str(environment / "bin" / "pip"), "install", "--quiet", "--no-deps", str(package.wheel)]
    subprocess.run(pip, check=True)
    # The dependencies are those of the tests. A folder that is named so brings no editable package along.
    (site_packages,) = (environment / "lib").glob("*/site-packages")
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "COLUMNS": "200"}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [str(environment / "bin" / arguments[0]), *arguments[1:]],
            cwd=tmp_path,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "bootstrap" in run("prelabel", "--help")
    where = run("python", "-c", "import ml_backend; print(ml_backend.__file__)")
    assert Path(where).is_relative_to(environment)
    assert "22 objects drawn, 22 boxes predicted" in run("prelabel", "demo")
    assert (tmp_path / ".cache" / "prelabel" / "models").is_dir() == (sys.platform == "linux")


def test_plain_pip_resolves_every_extra(package: Package, environment: Path, tmp_path: Path) -> None:
    """All at once, without the overrides of the locks: so each of them alone, too."""
    report = tmp_path / "report.json"
    wanted = f"prelabel[{','.join(EXTRAS)}] @ {package.wheel.as_uri()}"
    pip = [str(environment / "bin" / "pip"), "install", "--quiet", "--dry-run", "--report", str(report), wanted]
    resolved = subprocess.run(pip, capture_output=True, text=True, check=False)
    assert resolved.returncode == 0, resolved.stderr
    names = {each["metadata"]["name"].lower() for each in json.loads(report.read_text())["install"]}
    assert names >= {"prelabel", "tensorflow", *EXTRAS.values()}


def test_every_extra_is_tried(package: Package) -> None:
    """Those of the wheel are those above."""
    assert set(package.metadata.get_all("Provides-Extra", [])) == set(EXTRAS)
