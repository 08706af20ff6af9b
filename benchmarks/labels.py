"""What label mapping is worth and what it costs.

Worth: precision and recall of the answers on the shared photographs, with ground truth rolled up to five labels, against the same
without hierarchy and without NMS after mapping. Cost: time to map a config with all classes, and to select among 100 detections.
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

from ml_backend.detections import Detections, iou
from ml_backend.detector.detector import Detector
from ml_backend.errors import PrelabelError
from ml_backend.labels import Policy, Prediction, label_of, parse_label_config
from ml_backend.labels.config import label_config_for
from ml_backend.open_images import open_images_classes
from ml_backend.pipeline import Pipeline
from ml_backend.settings import Settings

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
            (classes.name_by_mid[each] for each in above if classes.name_by_mid[each] in LABELS), None
        )
    return found


def truth() -> dict[str, Boxes]:
    """Return the annotated boxes of the five labels by file name."""
    instances = json.loads((SHARED / "photos" / "instances.json").read_text())
    label_by_name = rolled_up()
    label_by_category = {each["id"]: label_by_name[each["name"]] for each in instances["categories"]}
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
    for region in sorted(prediction["result"], key=lambda region: -region["score"]):
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
        for label in LABELS:
            ours, theirs = boxes.get(label), wanted[name].get(label)
            shown += 0 if ours is None else len(ours)
            annotated += 0 if theirs is None else len(theirs)
            matched += 0 if ours is None or theirs is None else right(ours, theirs)
    return shown, annotated, matched


async def worth(detector: Detector) -> None:
    """Print precision and recall with and without what the labels do."""
    scenes = {
        "as it is": config(),
        "without NMS after mapping": config(model_nms_iou="1"),
        "without the hierarchy": config(model_hierarchy="false"),
        "without both": config(model_hierarchy="false", model_nms_iou="1"),
    }
    files = sorted((SHARED / "photos" / "images").glob("*.jpg"))
    tasks = [{"id": file.name, "data": {"image": file}} for file in files]
    wanted = truth()
    print(f"\n{len(files)} photographs, {', '.join(LABELS)}, IoU {MATCH}, threshold 0.3\n")
    print("| | boxes shown | right | precision | recall |\n|---|---|---|---|---|")
    async with Pipeline(Settings(), detector) as pipeline:
        for name, xml in scenes.items():
            answers = await pipeline.predict(tasks, xml)
            predictions: dict[str, Prediction] = {}
            for file, answer in zip(files, answers, strict=True):
                if isinstance(answer, PrelabelError):
                    raise answer
                predictions[file.name] = answer
            shown, annotated, matched = score(predictions, wanted)
            print(
                f"| {name} | {shown} | {matched} of {annotated} | {matched / shown:.3f} | {matched / annotated:.3f} |"
            )


def median_ms(work: Callable[[], Any], times: int) -> float:
    """Return the median time of some work, in milliseconds."""
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds) * 1e3


def _select(policy: Policy, detections: Detections) -> None:
    list(policy.explain({policy.sources[0]: [detections]}))


def cost() -> None:
    """Print what mapping and selection cost."""
    classes = open_images_classes()
    every = label_config_for(classes.names).replace('model_hierarchy="false" model_nms_iou="1"', "")

    def decide() -> Policy:
        return Policy.from_label_config(every, score_threshold=0.3, class_list=classes)

    chance = np.random.default_rng(1)
    corners = chance.random((100, 2), np.float32) * np.float32(0.7)
    chosen = chance.choice(len(classes.names), 100)
    detections = Detections(
        boxes=np.concatenate([corners, corners + np.float32(0.25)], axis=1),
        scores=np.sort(chance.random(100, np.float32))[::-1].copy(),
        class_names=tuple(classes.names[each] for each in chosen),
        class_mids=tuple(classes.mids[each] for each in chosen),
        width=640,
        height=480,
    )
    policies = {
        "all classes": decide(),
        "five labels": Policy.from_label_config(config(), score_threshold=0.3, class_list=classes),
    }
    print("\n| work | median ms |\n|---|---|")
    print(f"| reading and mapping a config with all 601 classes | {median_ms(decide, 20):.1f} |")
    for name, policy in policies.items():
        took = median_ms(functools.partial(_select, policy, detections), 200)
        print(f"| selecting among 100 detections, {name} | {took:.2f} |")


def main() -> None:
    """Measure."""
    cost()
    model = SHARED / "models" / "openimages-subset-detector-hub"
    if model.exists():
        asyncio.run(worth(Detector.load(str(model), Settings().tfhub_cache_dir, workers=2)))


if __name__ == "__main__":
    main()
