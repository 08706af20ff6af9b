"""The bulk job: memory as the job grows, model runs with duplicates, and average precision; `speed.py` measures its rate.

Run it with `make bench-all`; `docs/bootstrap.md` has the figures. Takes the shared detector where there is one, else the demo detector.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from average_precision import Box, average_precision
from input_size import TRUTH, found
from limits import Limit
from PIL import Image
from servers import MODEL, SHARED, load_detector
from table import Line, Table, Target

from ml_backend.demo.scenes import draw_scene
from ml_backend.label_studio.label_config import label_config_for
from ml_backend.vocabularies.open_images import open_images_classes

HANDLE = str(MODEL) if MODEL.exists() else "demo"
IMAGES = 1_000  # of a measurement of the rate
SIZE = (640, 427)


class Result(NamedTuple):
    """What a run told at its end, and its peak memory in MB."""

    told: dict[str, Any]
    peak: float


def bootstrap(source: Path, folder: Path, *options: str, threshold: float = 0.3, model: str = HANDLE) -> Result:
    """Run the command in a process of its own, with a cache of its own."""
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "ml_backend", "bootstrap", str(source), "--to", "tasks.json", "--json-lines", *options],
        cwd=folder,
        env=os.environ
        | {
            "PRELABEL_MODEL": model,
            "PRELABEL_CACHE_FILE": str(folder / "cache.sqlite3"),
            "MODEL_SCORE_THRESHOLD": str(threshold),
        },
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None  # noqa: S101 - asked for above
    told = [json.loads(line) for line in process.stdout]
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(told)
    return Result(told[-1], usage.ru_maxrss / 1024)


def draw(folder: Path, unique: int, duplicates: int = 0) -> None:
    """Fill a folder with drawn scenes, each moved and tinted in a way of its own, and copies of the first of them."""
    folder.mkdir()
    scenes = [np.asarray(draw_scene(seed)[0].resize(SIZE)) for seed in range(40)]
    choose = np.random.default_rng(5)
    for number in range(unique):
        pixels = np.roll(scenes[number % len(scenes)], choose.integers(0, SIZE[0]), axis=1)
        tinted = np.clip(pixels * choose.uniform(0.8, 1.2, 3), 0, 255).astype(np.uint8)
        Image.fromarray(tinted).save(folder / f"{number:05d}.jpg", quality=90)
    for number in range(duplicates):
        (folder / f"{number:05d}-again.jpg").write_bytes((folder / f"{number:05d}.jpg").read_bytes())


def measure_rate(table: Table, model: str, alone: Limit, photographs: Path, root: Path, rounds: int) -> None:
    """Add the line of images a second beside decoding and the model alone, on files with the same photographs and other bytes."""
    files = [path.read_bytes() for path in sorted(photographs.iterdir())]
    source = root / "unique"
    source.mkdir()
    for number in range(IMAGES):
        (source / f"{number:05d}.jpg").write_bytes(files[number % len(files)] + number.to_bytes(4, "big"))
    shares, rates = [], []
    for number in range(rounds):
        floor = IMAGES / alone.seconds_with_decoding(IMAGES)
        told = bootstrap(source, root / f"rate-{number}", model=model).told
        rates.append(told["pictures"] / told["seconds"])
        shares.append(rates[-1] / floor)
    note = f"{median(rates):.1f} images/s of {IMAGES}"
    table.add(Line("bulk job / decoding and model alone", shares, Target("at least", 0.90), note=note))


def measure_growth(root: Path) -> None:
    """Print peak memory, model runs and sizes of the files at 200, 2,000 and 8,000 pictures, a quarter of them duplicates."""
    print("| pictures | peak memory | model ran | checkpoint | cache |")
    print("|---|---|---|---|---|")
    for total in (200, 2000, 8000):
        draw(root / str(total), total * 3 // 4, total // 4)
        folder = root / f"growth-{total}"
        result = bootstrap(root / str(total), folder)
        ran = result.told["pictures"] - result.told["known"]
        checkpoint, cache = (
            sum(path.stat().st_size for path in folder.glob(f"{name}*")) for name in ("tasks.json.journal", "cache")
        )
        print(
            f"| {total:,} | {result.peak:.0f} MB | {ran:,} | {checkpoint / total:.0f} B a picture | {cache / total:.0f} B |"
        )


def measure_precision(root: Path) -> None:
    """Print average precision of the written COCO file, and of the detector called directly."""
    if not TRUTH.exists():
        return
    config = root / "every-class.xml"
    config.write_text(label_config_for(open_images_classes().names))
    options = ("--config", str(config), "--to", "coco:coco.json")
    bootstrap(SHARED / "photos" / "images", root / "precision", *options, threshold=0)
    written = json.loads((root / "precision" / "coco.json").read_text())
    ids = {each["file_name"]: each["id"] for each in json.loads(TRUTH.read_text())["images"]}
    files = {each["id"]: each["file_name"] for each in written["images"]}
    labels = {each["id"]: each["name"] for each in written["categories"]}
    boxes: dict[int, list[Box]] = defaultdict(list)
    for each in written["annotations"]:
        left, top, width, height = each["bbox"]
        edges = [left, top, left + width, top + height]
        box = {"label": labels[each["category_id"]], "score": each["score"], "edges": edges}
        boxes[ids[files[each["image_id"]]]].append(box)
    detector = load_detector(HANDLE)
    direct = {
        ids[path.name]: found(detector, path.read_bytes(), 0, 1)
        for path in sorted((SHARED / "photos" / "images").glob("*.jpg"))
    }
    print(
        f"AP of the COCO file {average_precision(TRUTH, boxes):.4f}, of the detector {average_precision(TRUTH, direct):.4f}"
    )


def main() -> None:
    """Measure all of it."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        measure_growth(root)
        measure_precision(root)


if __name__ == "__main__":
    main()
