"""Runs ``prelabel bootstrap`` to its end, or as a process of its own, to be watched, interrupted and killed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from command import invoke
from PIL import Image
from samples import balloon_scene, encoded


def draw_pictures(folder: Path, number: int, *, duplicates: int = 0, broken: int = 0) -> None:
    """Fill a folder with small pictures of balloons, each another; with copies of the first ones, and files that are no pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(7)
    for n in range(number):
        pixels = balloon_scene()
        pixels[:, :, draw.integers(3)] = np.clip(pixels[:, :, 0].astype(int) + draw.integers(-9, 9), 0, 255)
        pixels = np.roll(pixels, draw.integers(-40, 160), axis=1)
        pixels[0, 0] = (n // 256, n % 256, 0)
        (folder / f"picture-{n:05d}.png").write_bytes(encoded(Image.fromarray(pixels)))
    for n in range(duplicates):
        (folder / f"same-{n:05d}.png").write_bytes((folder / f"picture-{n:05d}.png").read_bytes())
    for n in range(broken):
        (folder / f"broken-{n:05d}.png").write_bytes(f"not a picture {n}".encode())


class Bootstrap:
    """A running ``prelabel bootstrap --json-lines``."""

    def __init__(self, arguments: Sequence[str], folder: Path, settings: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ml_backend", "bootstrap", *arguments, "--json-lines"],
            cwd=folder,
            env=os.environ | settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # What runs the tests in the background may ignore Ctrl-C, which is inherited.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - nothing but that
        )

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield what it tells, until it ends."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield json.loads(line)

    def wait_for(self, event: str) -> bool:
        """Wait until it tells of an event; False if it ended before."""
        return any(told["event"] == event for told in self.events())

    def kill(self) -> None:
        """End it, and what it has started, as a power cut would."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.close()

    def end(self) -> tuple[int, list[dict[str, Any]], str]:
        """Wait for its end; gives status, events, and what it wrote to standard error."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        told = [] if self.process.stdout.closed else list(self.events())
        complaint = self.process.stderr.read()
        self.close()
        return self.process.returncode, told, complaint

    def close(self) -> None:
        """Let go of it."""
        self.process.communicate()


@contextmanager
def running(*arguments: str, folder: Path, **settings: str) -> Iterator[Bootstrap]:
    """Run it in a folder with some settings; whatever happens, it has ended afterwards."""
    command = Bootstrap(arguments, folder, {"PRELABEL_MODEL": "demo"} | settings)
    try:
        yield command
    finally:
        command.kill()


def run(*arguments: str, folder: Path, **settings: str) -> tuple[int, list[dict[str, Any]], str]:
    """Run it to its end, in this process; gives status, events, and what it wrote to standard error."""
    with chdir(folder):
        result = invoke(["bootstrap", *arguments, "--json-lines"], {"PRELABEL_MODEL": "demo"} | settings)
    return result.exit_code, [json.loads(line) for line in result.stdout.splitlines()], result.stderr


def run_apart(*arguments: str, folder: Path, **settings: str) -> tuple[int, list[dict[str, Any]], str]:
    """Do the same in a process of its own, for what leaves threads behind."""
    with running(*arguments, folder=folder, **settings) as command:
        return command.end()


def written(folder: Path) -> dict[str, bytes]:
    """Return what the files in a folder hold, links included, by name; without the checkpoint, whose pages may lie in another order."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".journal" not in path.name
    }
