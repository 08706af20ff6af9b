"""The shared photographs as people would correct them, in random orders, and the figures of learned labels on those that nobody corrected."""

import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from labels import truth
from numpy.typing import NDArray

from ml_backend.detections import Detections
from ml_backend.feedback.evaluation.threshold_stats import gather, labels_of, threshold_in
from ml_backend.feedback.learning.calibration import propose
from ml_backend.feedback.learning.effort import EditSeconds
from ml_backend.feedback.store.annotation_records import AnnotatedImage, Annotation
from ml_backend.label_studio.labelled_boxes import LabelledBox
from ml_backend.postprocessing.overrides import NO_OVERRIDES, LabelOverrides
from ml_backend.postprocessing.postprocessor import Postprocessor

SPLITS = 20  # random orders
HELD_BACK = 50  # photographs that can be learned from; the others are evaluated
THRESHOLD = 0.3
CENTRAL = EditSeconds()
Scores = NDArray[np.float32]
Distortion = Callable[[Scores], Scores]


def config_of(labels: Sequence[str]) -> str:
    """Return a label config with some labels."""
    tags = "".join(f'<Label value="{label}"/>' for label in dict.fromkeys(labels))
    return (
        '<View><Image name="image" value="$image"/>'
        f'<RectangleLabels name="label" toName="image">{tags}</RectangleLabels></View>'
    )


def postprocessor_of(xml: str, overrides: LabelOverrides = NO_OVERRIDES, threshold: float = THRESHOLD) -> Postprocessor:
    """Return the postprocessor of a label config."""
    return Postprocessor.from_label_config(xml, score_threshold=threshold, overrides=overrides)


def annotations_of(
    raw: Mapping[str, Detections],
    label_by_name: dict[str, str | None] | None,
    distort: Distortion = lambda scores: scores,
) -> list[Annotation]:
    """Return an annotation of each photograph with its ground truth as drawn boxes, under some labels or those of COCO."""
    found = []
    wanted = truth(label_by_name)
    every = sorted({label for boxes in wanted.values() for label in boxes})
    for number, (name, boxes) in enumerate(sorted(wanted.items()), 1):
        drawn = tuple(
            LabelledBox("label", 0, label, (edges[0], edges[1], edges[2], edges[3]))
            for label, rows in boxes.items()
            for edges in rows.tolist()
        )
        detections = raw[name]
        distorted = replace(detections, scores=distort(detections.scores).astype(np.float32))
        image = AnnotatedImage("image", 0, name, distorted)
        drawable = {"label": tuple(every)}
        found.append(
            Annotation(number, 1, number, 1, "2026", skipped=False, drawn=drawn, drawable=drawable, images=(image,))
        )
    return found


def shuffle(annotations: Sequence[Annotation], split: int) -> list[Annotation]:
    """Return the photographs in a random order, the same for the same number."""
    return random.Random(split).sample(list(annotations), len(annotations))  # noqa: S311 - decides who goes where


def until(annotations: Sequence[Annotation], boxes: int) -> list[Annotation]:
    """Return the first photographs with at least a number of drawn boxes together."""
    taken: list[Annotation] = []
    for annotation in annotations:
        if sum(len(each.drawn) for each in taken) >= boxes:
            break
        taken.append(annotation)
    return taken


def learned(
    annotations: Sequence[Annotation], xml: str, seconds: EditSeconds = CENTRAL, target: float | None = None
) -> LabelOverrides:
    """Return what calibration proposes."""
    return propose(
        lambda: annotations,
        xml,
        NO_OVERRIDES,
        score_threshold=THRESHOLD,
        targets=lambda _: target,
        stated_seconds=seconds.to_json(),
    ).overrides


def counts_of(annotations: Sequence[Annotation], postprocessor: Postprocessor) -> tuple[int, int, int]:
    """Return how many boxes are shown, right and drawn."""
    stats = gather(annotations, postprocessor)
    shares = [stats.of(where).precision(threshold_in(postprocessor, where)) for where in labels_of(postprocessor)]
    drawn = sum(each.drawn.total() for each in stats.labels.values())
    return sum(each.total for each in shares), sum(each.hits for each in shares), drawn


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return the mean of values, the smallest and the largest, as text."""
    return f"{statistics.mean(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"
