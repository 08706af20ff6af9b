"""Labels that split one class, on photographs that were not part of the learning; `benchmarks/learning.py` runs it.

People call half of the persons "near" and the others "far", by the area of their boxes, or half of the boxes of a group "light" and the others
"dark", by their mean luma. "Posterior alone" gives all boxes of a class its most probable label. The time that the colours of boxes take is
measured beside that of the detector, on the same photographs.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import corrected_photographs as photographs
import numpy as np
from corrected_photographs import HELD_BACK, SPLITS, spread
from labels import SHARED, rolled_up
from numpy.typing import NDArray

from ml_backend.detections import Detections
from ml_backend.feedback.evaluation.outcomes import edges_of
from ml_backend.feedback.store.annotation_records import Annotation
from ml_backend.images.box_colours import with_colours
from ml_backend.images.decoding.decode import decode
from ml_backend.inference.detector import Detector
from ml_backend.postprocessing.label_split import LabelSplit
from ml_backend.postprocessing.overrides import LabelOverrides

SHOWN_FROM = 1 / 6  # score times probability of the label
REPEATS = 5
MOST_PIXELS = 10**7

Measure = Callable[[Annotation], NDArray[np.floating]]
"""Returns a number for each drawn box."""


@dataclass(frozen=True)
class Split:
    """Two labels for the boxes of one group.

    Attributes:
        group: of the rolled-up labels.
        labels: for the boxes above the median of the measure, and for the others.
        measure: of the boxes.
        counts: of corrected boxes.
    """

    group: str
    labels: tuple[str, str]
    measure: Measure
    counts: Sequence[int]


def area(annotation: Annotation) -> NDArray[np.floating]:
    """Return the area of each drawn box, of the image's."""
    edges = edges_of(annotation.drawn)
    found: NDArray[np.floating] = (edges[:, 2] - edges[:, 0]) * (edges[:, 3] - edges[:, 1])
    return found


def luma(annotation: Annotation) -> NDArray[np.floating]:
    """Return the mean luma of all pixels in each drawn box, 0 to 255."""
    file = SHARED / "photos" / "images" / annotation.images[0].reference
    pixels = decode(file.read_bytes(), max_pixels=MOST_PIXELS).pixels @ np.array([0.299, 0.587, 0.114])
    height, width = pixels.shape
    found = []
    for top, left, bottom, right in edges_of(annotation.drawn).tolist():
        rows = slice(int(top * height), max(int(bottom * height), int(top * height) + 1))
        columns = slice(int(left * width), max(int(right * width), int(left * width) + 1))
        found.append(pixels[rows, columns].mean())
    return np.array(found)


LABELS = (
    Split("Person", ("near person", "far person"), area, (5, 10, 20, 50)),
    Split("Person", ("light person", "dark person"), luma, (20, 50, 100)),
    Split("Vehicle", ("near vehicle", "far vehicle"), area, (20, 50)),
    Split("Vehicle", ("light vehicle", "dark vehicle"), luma, (20, 50)),
)


def annotations_of(raw: Mapping[str, Detections], split: Split) -> list[Annotation]:
    """Return the photographs with the boxes of one group under two labels."""
    group = {known: label if label == split.group else None for known, label in rolled_up().items()}
    annotations = photographs.annotations_of(raw, group)
    measured = [split.measure(each) for each in annotations]
    middle = np.median(np.concatenate(measured))
    high, low = split.labels
    return [
        replace(
            annotation,
            drawn=tuple(
                box._replace(label=high if value >= middle else low)
                for box, value in zip(annotation.drawn, values, strict=True)
            ),
            drawable={"label": split.labels},
        )
        for annotation, values in zip(annotations, measured, strict=True)
    ]


def posterior_alone(overrides: LabelOverrides) -> LabelOverrides:
    """Return learned labels of which boxes have the probabilities of their class, whatever they look like."""
    alike = [(control, known, _without_weights(split)) for control, known, split in overrides.splits]
    return replace(overrides, splits=tuple(alike))


def _without_weights(split: LabelSplit) -> LabelSplit:
    return replace(split, weights=tuple((0.0,) * len(each) for each in split.weights))


def split_labels(raw: Mapping[str, Detections]) -> None:
    """Print recall and precision of labels that split one class."""
    print(f"\n### Labels that split a class, {SPLITS} orders, shown where score times probability reaches 1/6\n")
    print(
        "| labels | boxes | posterior alone: recall | precision | with splits: recall | precision | orders with a split |"
    )
    print("|---|---|---|---|---|---|---|")
    for split in LABELS:
        annotations = annotations_of(raw, split)
        stated = photographs.config_of(split.labels).replace(
            'toName="image">', f'toName="image" model_score_threshold="{SHOWN_FROM}">'
        )
        for count in split.counts:
            cells, learned_splits = _figures(annotations, stated, count)
            print(f"| {' / '.join(split.labels)} | {count} | {cells} | {learned_splits} of {SPLITS} |", flush=True)


def _figures(annotations: Sequence[Annotation], stated: str, count: int) -> tuple[str, int]:
    """Return recall and precision without and with splits as the cells of a row, and in how many orders something was split."""
    found: list[list[tuple[int, int, int]]] = [[], []]
    learned_splits = 0
    for number in range(SPLITS):
        order = photographs.shuffle(annotations, number)
        overrides = photographs.learned(photographs.until(order[:HELD_BACK], count), stated)
        learned_splits += bool(overrides.splits)
        for rows, each in zip(found, (posterior_alone(overrides), overrides), strict=True):
            rows.append(photographs.counts_of(order[HELD_BACK:], photographs.postprocessor_of(stated, each)))
    cells = []
    for rows in found:
        cells.append(spread([right / drawn for _, right, drawn in rows]))
        cells.append(spread([right / shown for shown, right, _ in rows if shown] or [0]))
    return " | ".join(cells), learned_splits


def cost_of_colours(detector: Detector) -> None:
    """Print the time that the colours of boxes take beside the run of the detector, on the same photographs, one after the other."""
    shares, colours, runs = [], [], []
    images = [
        decode(file.read_bytes(), max_pixels=MOST_PIXELS, max_side=640)
        for file in sorted((SHARED / "photos" / "images").glob("*.jpg"))
    ]
    for number in range(REPEATS + 1):
        run = coloured = 0.0
        for image in images:
            started = time.perf_counter()
            found = detector.run(image.pixels, (image.width, image.height))
            between = time.perf_counter()
            with_colours(found, image)
            run += between - started
            coloured += time.perf_counter() - between
        if number:  # the first one warms up
            shares.append(coloured / run)
            colours.append(coloured / len(images) * 1e3)
            runs.append(run / len(images) * 1e3)
    print(f"\n### The colours of boxes, {len(images)} photographs, {REPEATS} times\n")
    print(
        f"{statistics.median(colours):.2f} ms an image beside {statistics.median(runs):.1f} ms of the detector "
        f"({detector.runtime}), {100 * min(shares):.1f} to {100 * max(shares):.1f} %"
    )
