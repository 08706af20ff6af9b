"""What tiles find and cost on large pictures with small objects: mosaics of four of the shared photographs, 1,280 x 1,280 pixels.

Accuracy with the 80 labels of COCO, and the modelled effort of an annotator with five labels. The last step draws scenes and boxes into
docs/images/tiles.png. Run it alone, about two minutes; `docs/tiles.md` has the figures. Needs the shared folder.
"""

import asyncio
import io
import json
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from average_precision import Box, average_precisions, open_images_names
from labels import COCO_CONFIG, config, rolled_up
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from servers import MODEL, SHARED

from ml_backend.demo.scenes import draw_scene
from ml_backend.detections import iou
from ml_backend.inference.detector import Detector
from ml_backend.inference.models import Models
from ml_backend.label_studio.regions import Prediction, label_of, rectangles_in
from ml_backend.pipeline.prediction import Pipeline
from ml_backend.settings import Settings

PHOTOS = SHARED / "photos"
CELL = 640  # pixels; none of the photographs has a longer side
SIDE = 2 * CELL
MATCH = 0.5  # IoU
# Seconds of an annotator: for a look at a picture, to draw a box, to delete one, to give it another label, to adjust its edges.
LOOK, DRAW, DELETE, RELABEL, ADJUST = 1, 10, 2, 3, 4
WELL_PLACED = 0.9  # IoU from which edges are left as they are
NUMBERS = (0, 2, 3, 4)
DRAWN = Path(__file__).parent.parent / "docs" / "images" / "tiles.png"


@dataclass(frozen=True)
class Mosaics:
    """Mosaics of photographs, with the truth in COCO's format."""

    files: list[Path]
    truth: Path


def mosaics(folder: Path, seed: int) -> Mosaics:
    """Write mosaics of four photographs each, in a random order."""
    given = json.loads((PHOTOS / "instances.json").read_text())
    photographs = sorted(given["images"], key=lambda each: str(each["file_name"]))
    random.Random(seed).shuffle(photographs)  # noqa: S311 - an order; nothing is secret
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    files: list[Path] = []
    for first in range(0, len(photographs), 4):
        number = len(files) + 1
        mosaic = Image.new("RGB", (SIDE, SIDE), "grey")
        for place, photograph in enumerate(photographs[first : first + 4]):
            left, top = CELL * (place % 2), CELL * (place // 2)
            with Image.open(PHOTOS / "images" / photograph["file_name"]) as image:
                mosaic.paste(image, (left, top))
            for each in given["annotations"]:
                if each["image_id"] == photograph["id"]:
                    x, y, width, height = each["bbox"]
                    moved = {"id": len(annotations) + 1, "image_id": number, "bbox": [x + left, y + top, width, height]}
                    annotations.append(each | moved)
        files.append(folder / f"{number:02}.jpg")
        mosaic.save(files[-1], quality=92)
        images.append({"id": number, "file_name": files[-1].name, "width": SIDE, "height": SIDE})
    truth = folder / "truth.json"
    truth.write_text(json.dumps({**given, "images": images, "annotations": annotations}))
    return Mosaics(files, truth)


def boxes_of(prediction: Prediction) -> list[Box]:
    """Return the boxes of a prediction, the best first, in pixels."""
    found = []
    for region in sorted(rectangles_in(prediction["result"]), key=lambda each: -each["score"]):
        x, y, width, height = (region["value"][name] * SIDE / 100 for name in ("x", "y", "width", "height"))
        found.append({"label": label_of(region), "score": region["score"], "edges": [x, y, x + width, y + height]})
    return found


def truth_by_picture(made: Mosaics) -> dict[int, list[tuple[str, list[float]]]]:
    """Return the five labels and the edges of annotated objects by picture."""
    given = json.loads(made.truth.read_text())
    label_of_name = rolled_up()
    labels = {each["id"]: label_of_name[each["name"]] for each in given["categories"]}
    found: dict[int, list[tuple[str, list[float]]]] = {each["id"]: [] for each in given["images"]}
    for each in given["annotations"]:
        label = labels[each["category_id"]]
        if label is not None and not each.get("iscrowd"):
            x, y, width, height = each["bbox"]
            found[each["image_id"]].append((label, [x, y, x + width, y + height]))
    return found


def effort(boxes: list[Box], wanted: list[tuple[str, list[float]]]) -> float:
    """Return the seconds that an annotator needs for a picture, by the model of the constants above."""
    overlaps = iou(_edges([each["edges"] for each in boxes]), _edges([edges for _, edges in wanted]))
    free = np.ones(len(wanted), bool)
    seconds: float = LOOK
    for same_label in (True, False):
        for row, box in enumerate(boxes):
            if box.get("done"):
                continue
            fits = [
                free[column] and (label == box["label"] or not same_label) for column, (label, _) in enumerate(wanted)
            ]
            candidates = np.where(fits, overlaps[row], 0) if wanted else np.zeros(1)
            best = int(candidates.argmax())
            if candidates[best] >= MATCH:
                free[best], box["done"] = False, True
                seconds += (candidates[best] < WELL_PLACED) * ADJUST + (not same_label) * RELABEL
    return seconds + DELETE * sum("done" not in box for box in boxes) + DRAW * int(free.sum())


def _edges(rows: list[list[float]]) -> NDArray[np.float32]:
    return np.array(rows, np.float32).reshape(-1, 4)


async def measured(detector: Detector, made: Mosaics, tiles: int) -> tuple[float, float, float, float, float]:
    """Return AP, AP of small objects, seconds of effort, runs of the model a picture, and seconds of work a picture."""
    settings = Settings(cache="memory", tiles=tiles)
    tasks = [{"id": number, "data": {"image": file}} for number, file in enumerate(made.files, 1)]
    wanted = truth_by_picture(made)
    async with Pipeline(settings, Models(detector)) as pipeline:
        started = time.perf_counter()
        few = await pipeline.predict(tasks, config())
        seconds = (time.perf_counter() - started) / len(tasks)
        runs = pipeline.metrics.value("prelabel_model_runs_total", model="detector") / len(tasks)
        every = COCO_CONFIG.read_text().replace('name="label"', 'name="label" model_score_threshold="0"')
        many = await pipeline.predict(tasks, every)
    called = open_images_names()
    found = {
        number: [box | {"label": called.get(box["label"], box["label"])} for box in boxes_of(each)]
        for number, each in enumerate(many, 1)
    }
    precisions = average_precisions(made.truth, found)
    spent = sum(effort(boxes_of(each), wanted[number]) for number, each in enumerate(few, 1)) / len(few)
    return *precisions, spent, runs, seconds


def draw(folder: Path) -> None:
    """Draw a mosaic of drawn scenes with what the demo detector finds without tiles and with them, side by side."""
    rows, columns, width, height = 5, 4, 320, 213
    mosaic = Image.new("RGB", (columns * width, rows * height))
    for number in range(rows * columns):
        scene = draw_scene(number)[0].resize((width, height), Image.Resampling.LANCZOS)
        mosaic.paste(scene, (number % columns * width, number // columns * height))
    buffer = io.BytesIO()
    mosaic.save(buffer, "PNG")
    (folder / "scenes.png").write_bytes(buffer.getvalue())
    labels = "".join(f'<Label value="{name}"/>' for name in ("Balloon", "Kite", "Box"))
    xml = (
        f'<View><Image name="i" value="$image"/><RectangleLabels name="l" toName="i">{labels}</RectangleLabels></View>'
    )
    detector = Detector.load("demo", Settings().tfhub_cache_dir, workers=2)

    async def found(tiles: int) -> Prediction:
        async with Pipeline(Settings(cache="none", tiles=tiles), Models(detector)) as pipeline:
            ((answer,)) = await pipeline.predict([{"id": 1, "data": {"image": folder / "scenes.png"}}], xml)
            prediction: Prediction = answer
            return prediction

    sheet = Image.new("RGB", (2 * mosaic.width + 20, mosaic.height), "white")
    for place, tiles in enumerate((0, 3)):
        shown = mosaic.copy()
        regions = rectangles_in(asyncio.run(found(tiles))["result"])
        for region in regions:
            x, y, w, h = (region["value"][name] / 100 for name in ("x", "y", "width", "height"))
            edges = (x * shown.width, y * shown.height, (x + w) * shown.width, (y + h) * shown.height)
            ImageDraw.Draw(shown).rectangle(edges, outline="#1b873f", width=4)
        print(f"drawn scenes, tiles {tiles}: {len(regions)} boxes")
        sheet.paste(shown, (place * (mosaic.width + 20), 0))
    sheet.resize((1400, round(sheet.height * 1400 / sheet.width)), Image.Resampling.LANCZOS).save(DRAWN, optimize=True)


def main() -> None:
    """Measure, where there is something to measure on, and draw."""
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder))
        if not MODEL.exists():
            return
        detector = Detector.load(str(MODEL), Settings().tfhub_cache_dir, workers=2, runtime="auto")
        print(f"20 mosaics of 4 photographs each, {SIDE} x {SIDE} pixels, in two orders; {detector.runtime}\n")
        print("| tiles | AP | AP small | effort | runs a picture | seconds a picture |\n|---|---|---|---|---|---|")
        sets = [mosaics(_made(Path(folder) / str(seed)), seed) for seed in (1, 2)]
        for tiles in NUMBERS:
            rows = np.array([asyncio.run(measured(detector, made, tiles)) for made in sets])
            for name, row in (("first", rows[0]), ("second", rows[1]), ("mean", rows.mean(axis=0))):
                figures = "{:.3f} | {:.4f} | {:.1f} s | {:.0f} | {:.2f}".format(*row)
                print(f"| {tiles}, {name} | {figures} |", flush=True)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()
