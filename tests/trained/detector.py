"""Gives the tests' own detector: trained once, in a process of its own, and kept below ``.cache`` until its source changes."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

ROOT = Path(__file__).parent.parent.parent
SOURCES = (
    ROOT / "ml_backend" / "demo" / "scenes.py",
    *(Path(__file__).with_name(f"{name}.py") for name in ("pictures", "network", "training", "export")),
)


def trained_detector_folder() -> Path:
    """Return a folder with the detector in both formats, ``hub`` and ``savedmodel``; about a minute the first time."""
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in SOURCES)).hexdigest()[:8]
    folder = ROOT / ".cache" / f"trained-detector-{digest}"
    folder.parent.mkdir(exist_ok=True)
    with FileLock(f"{folder}.lock"):  # several processes run the tests
        if not folder.exists():
            unfinished = folder.with_suffix(".tmp")
            shutil.rmtree(unfinished, ignore_errors=True)
            paths = (str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", ""))
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
            command = [sys.executable, "-m", "trained.training", str(unfinished)]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"the detector of the tests could not be trained:\n{done.stderr[-3000:]}")
            unfinished.rename(folder)
    return folder


if __name__ == "__main__":
    trained_detector_folder()
