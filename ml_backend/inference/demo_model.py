"""The demo detector: finds coloured shapes in drawn scenes. It has the contract of the published detectors and needs no download.

It is used only for the handle ``demo``.
"""

import hashlib
import math
import os
import shutil
from pathlib import Path

HANDLE = "demo"
NAME = "demo-shapes"

SHAPES = {"Kite": 0.5, "Balloon": math.pi / 4, "Box": 1.0}  # Open Images class: share of the bounding box that it fills


def build(cache_dir: Path) -> Path:
    """Return the folder of the demo detector as a TF2 SavedModel, building it on first use.

    The folder's name has a digest of its graph, so a changed demo detector gets a new folder.
    """
    graph = Path(__file__).with_name("demo_graph.py")
    version = hashlib.sha256(graph.read_bytes()).hexdigest()[:8]
    folder = cache_dir / f"{NAME}-{version}"
    if not (folder / "saved_model.pb").exists():
        from ml_backend.inference import demo_graph  # imports TensorFlow

        unfinished = cache_dir / f"{NAME}-{version}.{os.getpid()}.tmp"
        demo_graph.save(unfinished)
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
    return folder
