"""The colours of detected boxes: mean and deviation of luma and of both chroma axes, from a grid of the pixels in each box.

The axes are those of JPEG files (ITU-T T.871, full range): luma Y' for light and dark, Cb for blue and yellow, Cr for red and green. They follow
from sRGB by one product of matrices and fit into bytes, where a perceptual space would take cube roots of all pixels. On 80 photographs they took
0.6 ms an image, 1 % of the detector's time in the same run (``benchmarks/split_labels.py``, 2026-11-26).
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ml_backend.detections import COLOURS, Detections
from ml_backend.images.decoding.decode import DecodedImage

MIN_SCORE = 0.05  # below it, boxes get no colours: they are many, and hardly ever shown
GRID = 12  # pixels along each side of a box that are looked at, evenly spread over it
AXES = np.array(  # rows Y', Cb, Cr of ITU-T T.871
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32
)
ZERO = np.array([0, 128, 128], np.float32)  # of the axes, in a byte


def with_colours(found: Detections, image: DecodedImage) -> Detections:
    """Return detections with the colours of their boxes, as far as they have a score of at least :data:`MIN_SCORE`.

    Args:
        found: in the image.
        image: at any size.
    """
    rows = np.flatnonzero(found.scores >= np.float32(MIN_SCORE))
    if not len(rows):
        return found
    colours = np.zeros((len(found), COLOURS), np.uint8)
    colours[rows] = colours_in(image.pixels, found.boxes[rows])
    return replace(found, colours=colours)


def colours_in(pixels: NDArray[np.uint8], boxes: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the colours of boxes, uint8 [N, 6]: the means of Y', Cb and Cr, then their standard deviations, in steps of a byte.

    Args:
        pixels: uint8 [rows, columns, 3], sRGB.
        boxes: float32 [N, 4], ``ymin, xmin, ymax, xmax``, normalized; parts outside the image count as its border.
    """
    sides = np.array(pixels.shape[:2], np.float32)
    places = (np.arange(GRID, dtype=np.float32) + np.float32(0.5)) / GRID
    corner, size = boxes[:, :2, None], (boxes[:, 2:] - boxes[:, :2])[:, :, None]
    grid = np.clip((corner + size * places) * sides[:, None], 0, sides[:, None] - 1).astype(np.intp)  # [N, 2, GRID]
    seen = pixels[grid[:, 0, :, None], grid[:, 1, None, :]].reshape(len(boxes), GRID * GRID, 3)
    axes = seen.astype(np.float32) @ AXES.T
    colours = np.concatenate([axes.mean(axis=1) + ZERO, axes.std(axis=1)], axis=1)
    rounded: NDArray[np.uint8] = np.clip(np.rint(colours), 0, 255).astype(np.uint8)
    return rounded
