"""The features of boxes that tell the labels of one class apart: four of their geometry, six of their colours."""

import numpy as np
from numpy.typing import NDArray

from ml_backend.detections import Detections

FEATURES = ("height", "shape", "middle", "bottom", "light", "blue", "red", "light spread", "blue spread", "red spread")

Floats = NDArray[np.float64]

SMALLEST = 1e-3  # of a side: the logarithm of nothing has no end


def features_of(detections: Detections, rows: NDArray[np.intp]) -> Floats:
    """Return the features of some boxes, float64 [N, 10] in the order of :data:`FEATURES`; NaN where the colours are unknown.

    Of the box, clipped to the image: the binary logarithms of its height (of the image's) and of its width over its height in pixels, its middle
    from the left and its bottom edge, each in halves of the image. Of its colours: the means less the middle grey and the deviations, both in units
    of 64 steps of a byte. So about one unit is a difference that people see.
    """
    top, left, bottom, right = np.clip(detections.boxes[rows].astype(np.float64), 0, 1).T
    height, width = np.maximum(bottom - top, SMALLEST), np.maximum(right - left, SMALLEST)
    shape = np.log2(width * detections.width / (height * detections.height))
    geometry = np.stack([np.log2(height), shape, left + right, 2 * bottom], axis=1)
    colours = np.full((len(rows), 6), np.nan)
    if detections.colours is not None:
        known = detections.colours[rows].any(axis=1)
        colours[known] = (detections.colours[rows][known] - [128.0, 128, 128, 0, 0, 0]) / 64
    return np.concatenate([geometry, colours], axis=1)
