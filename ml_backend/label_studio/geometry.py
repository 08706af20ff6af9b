"""Rectangles of Label Studio: percent of the displayed image, rotated clockwise about the top left corner."""

import math

import numpy as np
from numpy.typing import NDArray

DECIMALS = 4  # of a percentage: a hundredth of a pixel in an image 10,000 pixels wide


def visible(boxes: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the part of each box inside the image, rounded as in regions.

    Args:
        boxes: float32 [N, 4], ``ymin, xmin, ymax, xmax``, normalized.

    Returns:
        float64 [N, 4], left, top, width and height in percent; width or height is 0 where no part is inside.
    """
    top, left, bottom, right = np.round(np.clip(boxes.astype(np.float64), 0, 1) * 100, DECIMALS).T
    width, height = np.round(np.maximum([right - left, bottom - top], 0), DECIMALS)
    return np.stack([left, top, width, height], axis=1)


def upright(
    rectangle: tuple[float, float, float, float], rotation: float, shape: tuple[float, float]
) -> tuple[float, float, float, float]:
    """Return the upright rectangle around a rotated one.

    Label Studio rotates clockwise about the top left corner, in pixels, while its numbers are percent of width and of height.

    Args:
        rectangle: left, top, width, height, in percent of the image.
        rotation: degrees, clockwise.
        shape: width and height of the image, in pixels.

    Returns:
        Left, top, width, height, in percent.
    """
    left, top, width, height = rectangle
    across, down = shape
    sine, cosine = math.sin(math.radians(rotation)), math.cos(math.radians(rotation))
    corners = [
        (x * cosine - y * sine, x * sine + y * cosine)
        for x in (0, width * across / 100)
        for y in (0, height * down / 100)
    ]
    xs, ys = [x / across * 100 for x, _ in corners], [y / down * 100 for _, y in corners]
    return left + min(xs), top + min(ys), max(xs) - min(xs), max(ys) - min(ys)


def upright_object(
    rectangle: tuple[float, float, float, float], rotation: float, shape: tuple[float, float]
) -> tuple[float, float, float, float]:
    """Return the probable upright bounding box of an object inside a rotated rectangle.

    An object with corners fills the upright rectangle around the rotated one. A round object fills only that around the inscribed ellipse.
    The result is halfway between the two. At 30 and 45 degrees its IoU with the object's bounding box is at least 0.68, for objects of
    any roundness and proportions from 1:1 to 10:1; with either of the two it falls to 0.5. At right angles all are the same.

    Arguments and result are those of :func:`upright`.
    """
    left, top, width, height = upright(rectangle, rotation, shape)
    across, down = shape
    wide, high = rectangle[2] * across, rectangle[3] * down
    sine, cosine = math.sin(math.radians(rotation)), math.cos(math.radians(rotation))
    likely_width = (width + math.hypot(wide * cosine, high * sine) / across) / 2
    likely_height = (height + math.hypot(wide * sine, high * cosine) / down) / 2
    return left + (width - likely_width) / 2, top + (height - likely_height) / 2, likely_width, likely_height
