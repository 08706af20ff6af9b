"""Runs ``docker`` and ``docker compose`` on a copy of the checkout, with the commands that docker-compose.yml documents."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from e2e.servers import StudioApi
from ports import free_port

ROOT = Path(__file__).parent.parent.parent
IMAGES = ("python:3.12-slim", "redis:7-alpine", "heartexlabs/label-studio:1.23.2")
POSTGRES = "postgres:17-alpine"
CONTEXT = (
    "Dockerfile",
    ".dockerignore",
    ".env.example",
    "docker-compose.yml",
    "pyproject.toml",
    "README.md",
    "LICENSE",
)


def docker(*arguments: str, folder: Path = ROOT, status: int | None = 0, seconds: float = 900) -> str:
    """Run ``docker``; gives what it printed on both streams.

    Args:
        arguments: of the command.
        folder: to run it in.
        status: the status that it has to end with; None for any.
        seconds: that it may take.
    """
    done = subprocess.run(
        ["docker", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert status in {None, done.returncode}, f"docker {' '.join(arguments)}: {done.returncode}\n{done.stdout[-4000:]}"
    return done.stdout


def missing() -> str:
    """Return why containers cannot be run here; empty if they can."""
    if shutil.which("docker") is None:
        return "there is no docker command"
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        return "no Docker engine answers"
    absent = [image for image in IMAGES if not has_image(image)]
    return f"these images are not here, and are not pulled by tests: {', '.join(absent)}" if absent else ""


def has_image(name: str) -> bool:
    """Tell whether the engine has an image."""
    return not subprocess.run(["docker", "image", "inspect", name], capture_output=True, check=False).returncode


def inspect(name: str) -> Any:
    """Return the description of a container or an image."""
    return json.loads(docker("inspect", name))[0]


def copy_checkout(folder: Path) -> None:
    """Copy the files that a build needs."""
    for name in CONTEXT:
        shutil.copy(ROOT / name, folder / name)
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("ml_backend", "requirements"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)


class Stack:
    """Label Studio, Prelabel and Redis, in containers.

    Args:
        folder: gets a copy of the checkout.
        settings: lines of ``.env``.

    Attributes:
        studio: the API of its Label Studio.
        address: of Prelabel, as the documentation names it.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        copy_checkout(folder)
        self._folder = folder
        self._name = f"prelabel-{free_port()}"
        header = (folder / "docker-compose.yml").read_text().partition("\nx-")[0]
        (self.address,) = re.findall(r"Connect Model, (http://\S+)", header)
        self._prepare([line[4:] for line in header.splitlines() if line.startswith("#   ")], settings)
        token = (folder / "secrets" / "label_studio_token").read_text().strip()
        self.studio = StudioApi(f"http://127.0.0.1:{self._port('LABEL_STUDIO_PORT')}", token)
        self.prelabel_url = f"http://127.0.0.1:{self._port('PRELABEL_PORT')}"

    def _prepare(self, commands: list[str], settings: dict[str, str]) -> None:
        *once, up = commands
        assert up.startswith("docker compose up")
        for command in once:
            subprocess.run(["sh", "-ec", command], cwd=self._folder, check=True)
        (self._folder / "files").mkdir()
        self._up = up.split()[2:]
        own = {"LABEL_STUDIO_PORT": str(free_port()), "PRELABEL_PORT": str(free_port())} | settings
        file = self._folder / ".env"
        text = file.read_text()
        for name, value in own.items():
            text, count = re.subn(rf"^#?{name}=.*$", f"{name}={value}", text, flags=re.MULTILINE)
            assert count == 1, f"{name} is not in .env.example"
        file.write_text(text)

    def _port(self, name: str) -> str:
        (value,) = re.findall(rf"^{name}=(\d+)$", (self._folder / ".env").read_text(), re.MULTILINE)
        return str(value)

    def secret(self, name: str, value: str) -> None:
        """Write a secret."""
        (self._folder / "secrets" / name).write_text(value)

    def compose(self, *arguments: str, status: int | None = 0) -> str:
        """Run ``docker compose``; gives what it printed."""
        return docker("compose", "--project-name", self._name, *arguments, folder=self._folder, status=status)

    def up(self) -> None:
        """Start all services, and wait until they are healthy."""
        self.compose(*self._up)

    def down(self) -> None:
        """Remove the containers; volumes stay."""
        self.compose("down")

    def close(self) -> None:
        """Remove everything."""
        self.studio.close()
        self.compose("--profile", "*", "down", "--volumes", "--rmi", "local", status=None)

    def prelabel(self, *arguments: str) -> str:
        """Run a command of Prelabel in its container; gives what it printed."""
        return self.compose("exec", "--no-TTY", "prelabel", "prelabel", *arguments)

    def container(self, service: str) -> Any:
        """Return the description of the container of a service."""
        return inspect(self.compose("ps", "--all", "--quiet", service).strip())

    def volumes(self) -> list[str]:
        """Return the names of all volumes of the engine that this stack made."""
        label = f"label=com.docker.compose.project={self._name}"
        return docker("volume", "ls", "--quiet", "--filter", label).split()
