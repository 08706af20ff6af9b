"""What can be checked of the container files without a container engine."""

import json
import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from typer.testing import CliRunner

from ml_backend import settings
from ml_backend.cli.common import app
from ml_backend.server.running import StartupListener
from ml_backend.settings import VARIABLES

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
EXAMPLE_TEXT = (ROOT / ".env.example").read_text()
EXAMPLE = dict(re.findall(r"^(\w+)=(.*)$", EXAMPLE_TEXT, re.MULTILINE))


def test_environment_of_the_service_is_one_that_it_takes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every variable and every secret is a setting, and the values of the example load."""
    service = COMPOSE["services"]["prelabel"]
    secrets = [each["target"] for each in service["secrets"]]
    assert {*service["environment"], *secrets} <= set(VARIABLES.values())
    for variable, value in service["environment"].items():
        filled = re.sub(r"\$\{(\w+)[^}]*\}", lambda match: EXAMPLE[match[1]], value)
        monkeypatch.setenv(variable, filled)
    (tmp_path / "LABEL_STUDIO_API_KEY").write_text("t0ken\n")
    monkeypatch.setattr(settings, "SECRETS", tmp_path)
    loaded = settings.load_settings()
    assert loaded.label_studio_url == "http://label-studio:8080"
    assert loaded.url_aliases == {"http://localhost:8080": "http://label-studio:8080"}
    assert loaded.label_studio_api_key is not None
    assert loaded.label_studio_api_key.get_secret_value() == "t0ken"


def test_every_variable_that_compose_asks_for_is_in_the_example() -> None:
    """And the example has none that nobody reads; those with a default may be commented out."""
    asked = set(re.findall(r"(?<!\$)\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    commented = set(re.findall(r"^#(\w+)=", EXAMPLE_TEXT, re.MULTILINE))
    assert asked | {"COMPOSE_PROFILES"} == {*EXAMPLE, *commented}


def test_services_name_each_other_and_their_ports_rightly() -> None:
    """Host names in addresses are services; ports are those that are listened on, and open to this machine only."""
    services = COMPOSE["services"]
    addresses = re.findall(r"\w+://([\w-]+):(\d+)", json.dumps(services))
    assert {host for host, _ in addresses} <= {*services, "localhost", "127"}
    assert services["prelabel"]["ports"] == ["127.0.0.1:${PRELABEL_PORT:-9090}:9090"]
    assert "EXPOSE 9090" in DOCKERFILE


def test_address_to_connect_has_a_dot_and_reaches_the_service() -> None:
    """Label Studio 1.23.2 drops webhooks to host names without a dot, and says nothing."""
    (host,) = re.findall(r"Connect Model, http://([\w.-]+):9090", (ROOT / "docker-compose.yml").read_text())
    assert "." in host
    assert COMPOSE["services"]["prelabel"]["networks"]["default"]["aliases"] == [host]
    assert f"http://{host}:9090" in (ROOT / "docs" / "containers.md").read_text()


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


def test_folders_that_are_written_persist() -> None:
    """A volume is mounted where each of them is; no anonymous ones pile up."""
    places = re.findall(r"(?:TFHUB_CACHE_DIR|PRELABEL_CACHE_FILE|PRELABEL_HOME)=(/\w+)", DOCKERFILE)
    mounted = [volume.partition(":") for volume in COMPOSE["services"]["prelabel"]["volumes"]]
    assert sorted(places) == sorted(folder for _, _, folder in mounted)
    assert {name for name, _, _ in mounted} <= set(COMPOSE["volumes"])
    assert "VOLUME" not in DOCKERFILE


def test_build_backend_is_the_locked_one() -> None:
    """The image builds the package without an isolated environment, whose contents nobody has locked."""
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert set(needed) <= set((ROOT / "requirements" / "build.in").read_text().splitlines())


def test_start_command_exists() -> None:
    """In exec form, so that signals reach it; no shell, no preloading."""
    words = [json.loads(line) for line in re.findall(r"^(?:ENTRYPOINT|CMD) (\[.*\])$", DOCKERFILE, re.MULTILINE)]
    assert words == [["prelabel"], ["serve"]]
    assert CliRunner().invoke(app, ["serve", "--help"]).exit_code == 0


def test_health_check_tells_up_from_down(serve: Callable[..., str]) -> None:
    """The very command, run against a real server and against none."""
    (command,) = re.findall(r"^    CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    check = json.loads(command)
    port = str(urlsplit(serve()).port)
    assert subprocess.run(check, env={"PORT": port}, check=False).returncode == 0
    down = subprocess.run(check, env={"PORT": "1"}, check=False, capture_output=True)
    assert down.returncode != 0


def test_health_check_fails_while_the_models_load() -> None:
    """The port is open then, and answers 503."""
    (command,) = re.findall(r"^    CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    with StartupListener("127.0.0.1", 0) as listener:
        port = str(listener.socket.getsockname()[1])
        assert subprocess.run(json.loads(command), env={"PORT": port}, check=False).returncode != 0
