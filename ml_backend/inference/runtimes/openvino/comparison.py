"""Compares the results of two runtimes on images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.classification import Classification
from ml_backend.detections import Detections, iou
from ml_backend.inference.contracts.contract import Contract
from ml_backend.inference.runtimes.runtime import Function

SAME_BOX = 0.999  # IoU from which two boxes are one
# Share of the image's side. A box in the margin of a letterbox has no area after it is cut at the image, and so no IoU.
SAME_EDGE = 0.00001
SAME_SCORE = 0.0001  # difference of scores, and of probabilities
SHARE = 0.999  # of detections that both runtimes must find


@dataclass(frozen=True)
class Comparison:
    """The largest differences between the results of two runtimes.

    Attributes:
        images: that were compared.
        detections: on all of them; None for a classifier.
        missing: detections that only one of the two found.
        score: largest difference of a score or probability.
    """

    images: int
    detections: int | None
    missing: int
    score: float

    @property
    def agrees(self) -> bool:
        """Whether the results can stand for each other; a detector that finds nothing proves nothing."""
        few = self.detections is None or (self.detections > 0 and self.missing <= (1 - SHARE) * self.detections)
        return few and self.score <= SAME_SCORE

    def __str__(self) -> str:
        if self.detections == 0:
            return f"on {self.images} drawn images nothing is found, so the results cannot be compared"
        found = "" if self.detections is None else f"{self.missing} of {self.detections} detections differ, "
        return f"on {self.images} images, {found}scores by at most {self.score:.6f}"


def compare(contract: Contract[Any], one: Function, other: Function, images: Sequence[NDArray[np.uint8]]) -> Comparison:
    """Compare two functions of one contract on images.

    Detections near the lowest score that is kept can be found by one of the two only, and do not count.
    """
    detections: int | None = None
    missing, score = 0, 0.0
    for pixels in images:
        height, width, _ = pixels.shape
        found, others = (contract.read(function(pixels), width, height) for function in (one, other))
        if isinstance(found, Detections):
            detections = (detections or 0) + max(len(found), len(others))
            gone, difference = _compare_detections(found, others)
            missing += gone
            score = max(score, difference)
        elif isinstance(found, Classification):
            score = max(score, float(np.abs(found.probabilities - others.probabilities).max()))
    return Comparison(len(images), detections, missing, score)


def _compare_detections(found: Detections, others: Detections) -> tuple[int, float]:
    """Return the number of detections without a partner, and the largest difference of scores of the others."""
    floor = min(found.scores.min(initial=1), others.scores.min(initial=1)) + SAME_SCORE
    overlaps = iou(found.boxes, others.boxes)
    same = np.array([[one == other for other in others.class_names] for one in found.class_names], bool)
    near = np.abs(found.scores[:, None] - others.scores[None, :])
    edges = np.abs(found.boxes[:, None] - others.boxes[None, :]).max(axis=2)
    fits = ((overlaps >= SAME_BOX) | (edges <= SAME_EDGE)) & same.reshape(overlaps.shape)
    missing, score = 0, 0.0
    for scores, has_partner, differences in (
        (found.scores, fits.any(axis=1), np.where(fits, near, np.inf).min(axis=1, initial=np.inf)),
        (others.scores, fits.any(axis=0), np.where(fits, near, np.inf).min(axis=0, initial=np.inf)),
    ):
        missing += int((~has_partner & (scores > floor)).sum())
        score = max(score, float(differences[has_partner].max(initial=0)))
    return missing, score


def comparison_images() -> Iterator[NDArray[np.uint8]]:
    """Draw images of several sizes with edges, shapes and textures, so that a detector finds something."""
    random = np.random.default_rng(0)
    for height, width in ((480, 640), (640, 480), (427, 640), (640, 640), (320, 240), (96, 512), (960, 1280)):
        coarse = random.integers(0, 256, (height // 32 + 1, width // 32 + 1, 3), np.uint8)
        texture = np.kron(coarse, np.ones((32, 32, 1), np.uint8))[:height, :width].astype(np.int16)
        rows, columns = np.mgrid[0:height, 0:width]
        for _ in range(6):
            centre, radius = random.uniform(0, (height, width)), random.uniform(0.05, 0.4) * height
            inside = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 * random.uniform(0.3, 3) < radius**2
            texture[inside] = random.integers(0, 256, 3)
        noise = random.normal(0, 12, texture.shape)
        yield np.clip(texture + noise, 0, 255).astype(np.uint8)
