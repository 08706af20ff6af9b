"""What can be checked of the container files without a container engine."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from typer.testing import CliRunner

from ml_backend.cli.common import app
from ml_backend.settings import VARIABLES, load_settings

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
EXAMPLE = dict(re.findall(r"^(\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))


def test_environment_of_the_service_is_one_that_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every variable is a setting, and the values of the example load."""
    given = COMPOSE["services"]["prelabel"]["environment"]
    assert set(given) <= set(VARIABLES.values())
    for variable, value in given.items():
        monkeypatch.setenv(variable, re.sub(r"\$\{(\w+)[^}]*\}", lambda match: EXAMPLE[match[1]], value))
    settings = load_settings()
    assert settings.label_studio_url == "http://label-studio:8080"
    assert settings.url_aliases == {"http://localhost:8080": "http://label-studio:8080"}


def test_every_variable_that_compose_asks_for_is_in_the_example() -> None:
    """And the example has none that nobody reads."""
    asked = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    assert asked == set(EXAMPLE)


def test_services_name_each_other_and_their_ports_rightly() -> None:
    """Host names in addresses are services; ports are those that are listened on."""
    services = COMPOSE["services"]
    addresses = re.findall(r"\w+://([\w-]+):(\d+)", json.dumps(services))
    assert {host for host, _ in addresses} <= {*services, "localhost"}
    assert services["prelabel"]["ports"] == ["9090:9090"]
    assert "EXPOSE 9090" in DOCKERFILE


def test_paths_that_are_copied_exist_and_are_not_ignored() -> None:
    """The build context holds what the Dockerfile wants."""
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert copied
    for source in copied:
        assert (ROOT / source).exists()
        assert any(source == each or source.startswith(each + "/") for each in allowed)


def test_the_models_folder_persists() -> None:
    """The volume is mounted where the downloads go."""
    (folder,) = re.findall(r"TFHUB_CACHE_DIR=(\S+)", DOCKERFILE)
    assert f"models:{folder}" in COMPOSE["services"]["prelabel"]["volumes"]
    assert "models" in COMPOSE["volumes"]
    files = re.findall(r"PRELABEL_CACHE_FILE=(\S+)|PRELABEL_DATABASE_URL=sqlite:///(\S+)", DOCKERFILE)
    kept = {folder, *(str(Path(cache or corrections).parent) for cache, corrections in files)}
    assert kept == set(json.loads(*re.findall(r"^VOLUME (.*)$", DOCKERFILE, re.MULTILINE)))


def test_start_command_exists() -> None:
    """In exec form, so that signals reach it; no shell, no preloading."""
    words = [json.loads(line) for line in re.findall(r"^(?:ENTRYPOINT|CMD) (\[.*\])$", DOCKERFILE, re.MULTILINE)]
    assert words == [["prelabel"], ["serve"]]
    assert CliRunner().invoke(app, ["serve", "--help"]).exit_code == 0


def test_health_check_tells_up_from_down(serve: Callable[..., str]) -> None:
    """The very command, run against a real server and against none."""
    (command,) = re.findall(r"^    CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    _, *arguments = json.loads(command)
    port = str(urlsplit(serve()).port)
    assert subprocess.run([sys.executable, *arguments], env={"PORT": port}, check=False).returncode == 0
    down = subprocess.run([sys.executable, *arguments], env={"PORT": "1"}, check=False, capture_output=True)
    assert down.returncode != 0
