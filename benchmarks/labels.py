"""What label mapping is worth and what it costs.

Worth: precision and recall of the answers on the shared photographs, with ground truth rolled up to five labels, against the same
without hierarchy and without NMS after mapping; and with the 80 labels of COCO, with and without suppression across labels. Cost: time to map a config with all classes, and to select among 100 detections.
Run it with `make bench`; `docs/labels.md` has the figures. The first part needs the shared folder.
"""

import asyncio
import functools
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from servers import load_detector

from ml_backend.detections import Detections, iou
from ml_backend.errors import PrelabelError
from ml_backend.inference.models import Models
from ml_backend.label_studio.label_config import label_config_for, parse_label_config
from ml_backend.label_studio.regions import Prediction, label_of, rectangles_in
from ml_backend.model_results import ModelResults
from ml_backend.pipeline.prediction import Pipeline
from ml_backend.postprocessing.postprocessor import Postprocessor
from ml_backend.settings import Settings
from ml_backend.vocabularies.open_images import open_images_classes

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"
COCO_CONFIG = ROOT / "label_config" / "coco.xml"
LABELS = ("Person", "Vehicle", "Animal", "Furniture", "Food")
MATCH = 0.5  # IoU

Boxes = dict[str, NDArray[np.float32]]  # by label: float32 [N, 4], ymin, xmin, ymax, xmax, normalized


def config(**attributes: str) -> str:
    """Return a label config with the five labels."""
    given = " ".join(f'{name}="{value}"' for name, value in attributes.items())
    labels = "".join(f'<Label value="{label}"/>' for label in LABELS)
    return (
        '<View><Image name="image" value="$image"/>'
        f'<RectangleLabels name="label" toName="image" {given}>{labels}</RectangleLabels></View>'
    )


def rolled_up() -> dict[str, str | None]:
    """Return which of the five labels each category of COCO belongs to, by the Open Images hierarchy."""
    classes = open_images_classes()
    (control,), _ = parse_label_config(COCO_CONFIG.read_text())
    found = {}
    for label in control.labels:
        mid = classes.find((*label.predicted_values, label.value)[0]) or ""
        above = [mid, *(up for level in classes.ancestors(mid) for up in level)]
        found[label.value] = next(
            (classes.name_by_id[each] for each in above if classes.name_by_id[each] in LABELS), None
        )
    return found


def image_sizes() -> dict[str, tuple[int, int]]:
    """Return width and height of the photographs in pixels, by file name."""
    images = json.loads((SHARED / "photos" / "instances.json").read_text())["images"]
    return {each["file_name"]: (each["width"], each["height"]) for each in images}


def truth(label_by_name: dict[str, str | None] | None = None) -> dict[str, Boxes]:
    """Return the annotated boxes by file name, under the labels of their categories, by default under those of COCO."""
    instances = json.loads((SHARED / "photos" / "instances.json").read_text())
    names = {each["id"]: each["name"] for each in instances["categories"]}
    label_by_category = {key: name if label_by_name is None else label_by_name[name] for key, name in names.items()}
    sizes = {each["id"]: (each["file_name"], each["width"], each["height"]) for each in instances["images"]}
    rows: dict[str, dict[str, list[Any]]] = {name: defaultdict(list) for name, _, _ in sizes.values()}
    for each in instances["annotations"]:
        label = label_by_category[each["category_id"]]
        if label is None or each.get("iscrowd"):
            continue
        name, width, height = sizes[each["image_id"]]
        x, y, w, h = each["bbox"]
        rows[name][label].append([y / height, x / width, (y + h) / height, (x + w) / width])
    return {name: {label: np.array(boxes, np.float32) for label, boxes in by.items()} for name, by in rows.items()}


def answered(prediction: Prediction) -> Boxes:
    """Return the boxes of a prediction by label, best first."""
    rows: dict[str, list[Any]] = defaultdict(list)
    for region in sorted(rectangles_in(prediction["result"]), key=lambda region: -region["score"]):
        value = region["value"]
        edges = (value["y"], value["x"], value["y"] + value["height"], value["x"] + value["width"])
        rows[label_of(region)].append([edge / 100 for edge in edges])
    return {label: np.array(boxes, np.float32) for label, boxes in rows.items()}


def right(boxes: NDArray[np.float32], wanted: NDArray[np.float32]) -> int:
    """Count boxes that match an annotated one that no better box has matched."""
    overlaps = iou(boxes, wanted)
    free = np.ones(len(wanted), bool)
    count = 0
    for row in overlaps:
        best = int(np.argmax(np.where(free, row, -1)))
        if free[best] and row[best] >= MATCH:
            free[best] = False
            count += 1
    return count


def score(predictions: dict[str, Prediction], wanted: dict[str, Boxes]) -> tuple[int, int, int]:
    """Return counts over all pictures and labels: boxes answered, boxes annotated, boxes right."""
    shown = annotated = matched = 0
    for name, prediction in predictions.items():
        boxes = answered(prediction)
        shown += sum(map(len, boxes.values()))
        annotated += sum(map(len, wanted[name].values()))
        matched += sum(right(boxes[label], theirs) for label, theirs in wanted[name].items() if label in boxes)
    return shown, annotated, matched


async def predicted(pipeline: Pipeline, xml: str) -> dict[str, Prediction]:
    """Return the predictions for the photographs by file name."""
    files = sorted((SHARED / "photos" / "images").glob("*.jpg"))
    answers = await pipeline.predict([{"id": file.name, "data": {"image": file}} for file in files], xml)
    for answer in answers:
        if isinstance(answer, PrelabelError):
            raise answer
    return dict(zip((file.name for file in files), answers, strict=True))


async def worth(pipeline: Pipeline) -> None:
    """Print precision and recall with and without what the labels do."""
    scenes = {
        "as it is": config(),
        "without NMS after mapping": config(model_nms_iou="1"),
        "without the hierarchy": config(model_hierarchy="false"),
        "without both": config(model_hierarchy="false", model_nms_iou="1"),
    }
    wanted = truth(rolled_up())
    print(f"\n{len(wanted)} photographs, {', '.join(LABELS)}, IoU {MATCH}, threshold 0.3\n")
    print("| | boxes shown | right | precision | recall |\n|---|---|---|---|---|")
    for name, xml in scenes.items():
        shown, annotated, matched = score(await predicted(pipeline, xml), wanted)
        print(f"| {name} | {shown} | {matched} of {annotated} | {matched / shown:.3f} | {matched / annotated:.3f} |")


async def worth_across_labels(pipeline: Pipeline) -> None:
    """Print what suppression across labels takes away, at several limits."""
    wanted = truth()
    given = COCO_CONFIG.read_text().replace('name="label"', 'name="label" {}')
    scenes = {"no": given.format("")}
    for limit in ("0.6", "0.7", "0.8", "0.9"):
        scenes[f"over {limit}"] = given.format(f'model_nms_iou="{limit}" model_nms_across_labels="true"')
    print(f"\n{len(wanted)} photographs, the labels of COCO, IoU {MATCH}, threshold 0.3\n")
    print("| across labels | boxes shown | right | precision | recall | wrong a picture | right ones lost |")
    print("|---|---|---|---|---|---|---|")
    before = 0
    for name, xml in scenes.items():
        shown, annotated, matched = score(await predicted(pipeline, xml), wanted)
        before = before or matched
        figures = f"{matched / shown:.3f} | {matched / annotated:.3f} | {(shown - matched) / len(wanted):.2f}"
        print(f"| {name} | {shown} | {matched} of {annotated} | {figures} | {before - matched} |")


async def accuracy(model: str) -> None:
    """Print how accurate the answers of a detector are under different label configs."""
    async with Pipeline(Settings(), Models(load_detector(model))) as pipeline:
        await worth(pipeline)
        await worth_across_labels(pipeline)


def median_ms(work: Callable[[], Any], times: int) -> float:
    """Return the median time of some work, in milliseconds."""
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds) * 1e3


def _select(postprocessor: Postprocessor, detections: Detections) -> None:
    list(postprocessor.explain({next(iter(postprocessor.needs)): [ModelResults(detections)]}))


def cost() -> None:
    """Print what mapping and selection cost."""
    classes = open_images_classes()
    every = label_config_for(classes.names).replace('model_hierarchy="false" model_nms_iou="1"', "")

    def decide() -> Postprocessor:
        return Postprocessor.from_label_config(every, score_threshold=0.3, classes={"detector": classes.classes()})

    chance = np.random.default_rng(1)
    corners = chance.random((100, 2), np.float32) * np.float32(0.7)
    chosen = chance.choice(len(classes.names), 100)
    detections = Detections(
        boxes=np.concatenate([corners, corners + np.float32(0.25)], axis=1),
        scores=np.sort(chance.random(100, np.float32))[::-1].copy(),
        class_names=tuple(classes.names[each] for each in chosen),
        class_mids=tuple(classes.ids[each] for each in chosen),
        width=640,
        height=480,
    )
    postprocessors = {
        "all classes": decide(),
        "five labels": Postprocessor.from_label_config(
            config(), score_threshold=0.3, classes={"detector": classes.classes()}
        ),
    }
    print("\n| work | median ms |\n|---|---|")
    print(f"| reading and mapping a config with all 601 classes | {median_ms(decide, 20):.1f} |")
    for name, postprocessor in postprocessors.items():
        took = median_ms(functools.partial(_select, postprocessor, detections), 200)
        print(f"| selecting among 100 detections, {name} | {took:.2f} |")


def main() -> None:
    """Measure."""
    cost()
    model = SHARED / "models" / "openimages-subset-detector-hub"
    if model.exists():
        asyncio.run(accuracy(str(model)))


if __name__ == "__main__":
    main()
