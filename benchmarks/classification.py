"""What a classifier is worth as a source of choices: on photographs, by resize and threshold, and on crops of predicted boxes.

The choices are the categories of COCO that stand for a class of ImageNet or for one above some. The right choice of a photograph is the
category of its largest object, where that fills a tenth of it. Run it with `make bench`; `docs/choices.md` has the figures. Needs the
shared folder.
"""

import json
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf
from average_precision import COCO_CONFIG
from numpy.typing import NDArray
from servers import MODEL, SHARED

from ml_backend.detections import iou
from ml_backend.feedback.evaluation.statistics import wilson
from ml_backend.images.decoding.decode import decode
from ml_backend.inference.classifier import Classifier
from ml_backend.inference.detector import Detector
from ml_backend.inference.models import Models
from ml_backend.label_studio.label_config import parse_label_config
from ml_backend.model_results import ModelResults
from ml_backend.postprocessing.choices import ServedChoices
from ml_backend.postprocessing.label_map import LabelMap
from ml_backend.postprocessing.postprocessor import Postprocessor
from ml_backend.settings import load_settings

CLASSIFIER = SHARED / "models" / "imagenet-classifier-savedmodel"
TRUTH = SHARED / "photos" / "instances.json"

# Fifty categories mean the right class by their names. These need ids of WordNet:
PREDICTED_VALUES = {
    "stop sign": "n06794110", "cow": "n02402425", "handbag": "n04026417", "skis": "n04228054", "sports ball": "n02778669",
    "tennis racket": "n04039381", "wine glass": "n03438257", "potted plant": "n03991062", "toilet": "n04447861", "tv": "n04404412",
    "oven": "n04330267", "sink": "n04553703",
}  # fmt: skip
# ImageNet has no class for these (its "kite" is the bird of prey), and hardly any with people:
WITHOUT_CLASS = {
    "person", "fire hydrant", "giraffe", "suitcase", "frisbee", "snowboard", "kite", "baseball bat", "baseball glove", "skateboard",
    "surfboard", "fork", "carrot", "donut", "cake", "book", "scissors", "toothbrush",
}  # fmt: skip
LARGE = 0.1  # of the image: the least share that the largest object fills
DETECTED, SAME_BOX = 0.3, 0.5  # score; IoU
THRESHOLDS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)

Pixels = NDArray[np.uint8]


@dataclass
class Photograph:
    """A photograph with its annotated objects, without crowds: categories, and edges (ymin, xmin, ymax, xmax, normalized)."""

    pixels: Pixels
    names: list[str] = field(default_factory=list)
    edges: list[list[float]] = field(default_factory=list)

    def largest(self) -> tuple[str, float]:
        """Return the category of the largest object, and its share of the image."""
        areas = [(edges[2] - edges[0]) * (edges[3] - edges[1]) for edges in self.edges]
        return max(zip(self.names, areas, strict=True), key=lambda each: each[1])


def read_photographs() -> tuple[list[Photograph], dict[str, str]]:
    """Return the photographs, and the kind of each category, such as animal."""
    truth = json.loads(TRUTH.read_text())
    category = {each["id"]: each["name"] for each in truth["categories"]}
    photographs, sizes = {}, {}
    for each in sorted(truth["images"], key=lambda each: each["id"]):
        data = (SHARED / "photos" / "images" / each["file_name"]).read_bytes()
        photographs[each["id"]] = Photograph(decode(data, max_pixels=10**8, max_side=640).pixels)
        sizes[each["id"]] = (each["width"], each["height"])
    for each in truth["annotations"]:
        if not each["iscrowd"]:
            (width, height), (x, y, w, h) = sizes[each["image_id"]], each["bbox"]
            photographs[each["image_id"]].names.append(category[each["category_id"]])
            photographs[each["image_id"]].edges.append([y / height, x / width, (y + h) / height, (x + w) / width])
    return list(photographs.values()), {each["name"]: each["supercategory"] for each in truth["categories"]}


def choices_of(names: Sequence[str], classifier: Classifier, attributes: str = "") -> ServedChoices:
    """Return the control of a project that has these categories as choices."""
    given = "".join(f'<Choice value="{name}" predicted_values="{PREDICTED_VALUES.get(name, "")}"/>' for name in names)
    xml = f'<View><Image name="image" value="$image"/><Choices name="c" toName="image" {attributes}>{given}</Choices></View>'
    postprocessor = Postprocessor.from_label_config(xml, score_threshold=0, classes={"classifier": classifier.classes})
    return postprocessor.choices[0]


def scores_of(images: Iterable[Pixels], classifier: Classifier, choices: ServedChoices) -> NDArray[np.float64]:
    """Return the scores [images, choices]."""
    rows = [choices.decide([ModelResults(classification=classifier.run(image))], 0.0) for image in images]
    return np.array([[decision.score for decision in row] for row in rows])


def rank_of(scores: NDArray[np.float64], right: NDArray[np.int_]) -> NDArray[np.int_]:
    """Return the place of the right choice, from 0; one with the score 0 is last."""
    own = np.take_along_axis(scores, right[:, None], 1)
    return np.where(own[:, 0] > 0, (scores > own).sum(1), scores.shape[1])


def central(image: Pixels) -> Pixels:
    """Return the central 87.5 % of each side."""
    top, left = round(image.shape[0] / 16), round(image.shape[1] / 16)
    return image[top:-top, left:-left]


def as_pixels(values: NDArray[np.float32]) -> Pixels:
    """Round to whole numbers from 0 to 255."""
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def to_input(image: Pixels, *, antialias: bool) -> Pixels:
    """Resize an image to the classifier's input, whatever its proportions."""
    return as_pixels(tf.image.resize(image, (128, 128), "bilinear", antialias=antialias).numpy())


def square(image: Pixels) -> Pixels:
    """Return the central square of an image whose shorter side is 146 pixels."""
    side = round(min(image.shape[:2]) * 128 / 146)
    top, left = ((length - side) // 2 for length in image.shape[:2])
    return to_input(image[top : top + side, left : left + side], antialias=True)


def letterbox(image: Pixels) -> Pixels:
    """Fit an image into the input with its proportions, on grey."""
    padded = tf.image.resize_with_pad(image.astype(np.float32) - 127.5, 128, 128, "bilinear", antialias=True)
    return as_pixels(padded.numpy() + 127.5)


RESIZES: dict[str, Callable[[Pixels], Pixels]] = {
    "whole, bilinear (Prelabel)": lambda image: image,
    "whole, bilinear, antialiased": lambda image: to_input(image, antialias=True),
    "central 87.5 %, bilinear (TF-Slim)": lambda image: to_input(central(image), antialias=False),
    "central square": square,
    "letterbox on grey": letterbox,
}


def share(right: int, total: int) -> str:
    """Return a share with its 95 % interval."""
    low, high = wilson(right, total)
    return f"{right} of {total} = {right / max(total, 1):.0%} [{low:.0%}, {high:.0%}]"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table in Markdown."""
    print("\n| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)


def whole_photographs(photographs: list[Photograph], kinds: dict[str, str], classifier: Classifier) -> None:
    """Print the share with the right choice on top, by resize and by threshold; and with the right kind, the sum of its choices."""
    names, kind_names = list(kinds), sorted(set(kinds.values()))
    kind_of = np.array([kind_names.index(kind) for kind in kinds.values()])
    choices = choices_of(names, classifier)
    own_class = choices_of(names, classifier, 'model_hierarchy="false"')
    subjects = [each.largest() for each in photographs]
    counted = np.array([area >= LARGE and name in names for name, area in subjects])
    images = [photographs[place].pixels for place in np.flatnonzero(counted)]
    right = np.array([names.index(subjects[place][0]) for place in np.flatnonzero(counted)])
    print(f"\n{len(right)} of {len(photographs)} photographs, {len(names)} choices")
    rows = []
    for name, resize in RESIZES.items():
        inputs = [resize(image) for image in images]
        scores = scores_of(inputs, classifier, choices)
        by_kind = np.stack([scores[:, kind_of == kind].sum(1) for kind in range(len(kind_names))], 1)
        alone = rank_of(scores_of(inputs, classifier, own_class), right) == 0
        ranks = rank_of(scores, right)
        hits = (ranks == 0, ranks < 3, rank_of(by_kind, kind_of[right]) == 0, alone)
        rows.append([name, *(share(int(hit.sum()), len(right)) for hit in hits)])
    table(["resize", "on top", "among three", f"the right one of {len(kind_names)} kinds", "without roll-up"], rows)

    scores = scores_of([each.pixels for each in photographs], classifier, choices)
    top = [names[place] for place in scores.argmax(1)]
    largest = np.array([name == place for (name, _), place in zip(subjects, top, strict=True)]) & counted
    shown = np.array([place in each.names for each, place in zip(photographs, top, strict=True)])
    rows = []
    for threshold in THRESHOLDS:
        kept = scores.max(1) >= threshold
        of_large = kept & counted
        rows.append([f"{threshold:g}", f"{of_large.sum()} of {counted.sum()}", share(int(largest[of_large].sum()), int(of_large.sum())),
                     f"{kept.sum()} of {len(kept)}", share(int(shown[kept].sum()), int(kept.sum()))])  # fmt: skip
    table(["threshold", "have a choice", "the largest object", "of all: have a choice", "shown in the image"], rows)


def crops(photographs: list[Photograph], names: list[str], classifier: Classifier, detector: Detector) -> None:
    """Print how often the detector's label is right for a predicted box, and the classifier's choice for what is in it."""
    (control,), _ = parse_label_config(COCO_CONFIG.read_text())
    label_map = LabelMap(control)
    found = []  # of each matched box: image, edges, right label, the detector's label
    for each in photographs:
        detections = detector.run(each.pixels)
        rows = np.flatnonzero(detections.scores >= DETECTED)
        free = list(range(len(each.names)))
        overlaps = iou(detections.boxes[rows], np.array(each.edges, np.float32).reshape(-1, 4))
        for row, overlap in zip(rows.tolist(), overlaps, strict=True):
            place = max(free, key=lambda place: overlap[place], default=None)
            if place is not None and overlap[place] >= SAME_BOX:
                free.remove(place)
                label = label_map.label_for(detections.class_names[row], detections.class_mids[row]) or ""
                found.append((each.pixels, detections.boxes[row], each.names[place], label))
    found = [each for each in found if each[2] in names]
    right = np.array([names.index(name) for _, _, name, _ in found])
    by_detector = np.array([name == label for _, _, name, label in found])
    lines = [["the detector's label", share(int(by_detector.sum()), len(found)), "", ""]]
    for scale in (1.0, 1.1, 1.25):
        parts = [cut(pixels, edges, scale) for pixels, edges, _, _ in found]
        hit = rank_of(scores_of(parts, classifier, choices_of(names, classifier)), right) == 0
        lines.append([f"the classifier on the box x {scale:g}", share(int(hit.sum()), len(hit)),
                      f"{hit[~by_detector].sum()} of {(~by_detector).sum()}", f"{(~hit[by_detector]).sum()} of {by_detector.sum()}"])  # fmt: skip
    table(["predicted boxes", "right", "right where the detector is wrong", "wrong where the detector is right"], lines)


def cut(pixels: Pixels, edges: NDArray[np.float32], scale: float) -> Pixels:
    """Return the part of an image in a box that is ``scale`` times as wide and high."""
    height, width = pixels.shape[:2]
    middle, half = (edges[:2] + edges[2:]) / 2, (edges[2:] - edges[:2]) / 2 * scale
    top, left = np.maximum(0, np.round((middle - half) * (height, width))).astype(int)
    bottom, right = np.round((middle + half) * (height, width)).astype(int)
    return pixels[top : max(bottom, top + 1), left : max(right, left + 1)]


def main() -> None:
    """Measure, where there is something to measure on."""
    if not TRUTH.exists():
        print("choices are measured on the shared photographs, which are not here")
        return
    models = Models.load(load_settings(model=str(MODEL), classifier=str(CLASSIFIER)))
    classifier, detector = models.classifier, models.detector
    assert classifier is not None and detector is not None  # noqa: S101, PT018 - both have handles
    photographs, categories = read_photographs()
    kinds = {name: kind for name, kind in categories.items() if name not in WITHOUT_CLASS}
    whole_photographs(photographs, kinds, classifier)
    crops(photographs, list(kinds), classifier, detector)
    seconds: dict[str, list[float]] = {classifier.kind: [], detector.kind: []}
    for each in photographs:
        for model in (classifier, detector):  # in turn, so that a busy moment meets both
            started = time.perf_counter()
            model.run(each.pixels)
            seconds[model.kind].append(time.perf_counter() - started)
    table(list(seconds), [[f"{statistics.median(each) * 1e3:.1f} ms" for each in seconds.values()]])


if __name__ == "__main__":
    main()
