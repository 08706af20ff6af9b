"""Tiles: overlapping parts of a large image, in which a detector sees small objects at its own scale."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ml_backend.detections import COLOURS, Detections
from ml_backend.images.decoding.decode import DecodedImage
from ml_backend.model_results import TILES

SCALE = 640  # pixels; the scale of the detector where PRELABEL_MODEL_INPUT_MAX_SIDE sets none
LARGE = 1.5  # times the scale: images with a longer side over it have tiles
STEPS = 2  # in the scale: a side has no more tiles than steps, so that tiles are not enlarged much
OVERLAP = 0.1  # of a side of the image, of two neighbours: an object of this size is whole in one of them, and larger ones are seen in the whole image
BORDER = 4 / 640  # of a tile: detections that come as near to an inner border are cut objects


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of an image.

    Attributes:
        name: of the view, such as ``tiles2 1.2``: kind of results, row and column.
        top, left, bottom, right: its edges, normalized to [0, 1] of the image.
    """

    name: str
    top: float
    left: float
    bottom: float
    right: float

    def crop(self, image: DecodedImage) -> NDArray[np.uint8]:
        """Return the pixels of the tile, uint8 [h, w, 3]."""
        top, left, bottom, right = self._edges(image)
        return np.ascontiguousarray(image.pixels[top:bottom, left:right])

    def to_image(self, found: Detections, image: DecodedImage) -> Detections:
        """Return the detections in the tile as detections in the image, without cut objects, which touch an inner border of the tile.

        Args:
            found: in the pixels of :meth:`crop`, normalized to them.
            image: of which the tile is a part.
        """
        height, width, _ = image.pixels.shape
        top, left, bottom, right = self._edges(image)
        inner = np.array([top > 0, left > 0, bottom < height, right < width])
        touching = np.concatenate([found.boxes[:, :2] < BORDER, found.boxes[:, 2:] > 1 - BORDER], axis=1)
        whole = found.chosen(np.flatnonzero(~(touching & inner).any(axis=1)).tolist())
        frame = np.array([height, width] * 2, np.float32)
        origin = np.array([top, left] * 2, np.float32) / frame
        sides = np.array([bottom - top, right - left] * 2, np.float32) / frame
        return replace(
            whole,
            boxes=whole.boxes * sides + origin,
            width=image.width,
            height=image.height,
            views=(self.name,) * len(whole),
        )

    def _edges(self, image: DecodedImage) -> tuple[int, int, int, int]:
        """Return top, left, bottom and right in pixels."""
        height, width, _ = image.pixels.shape
        return (
            round(self.top * height),
            round(self.left * width),
            round(self.bottom * height),
            round(self.right * width),
        )


def tiles_in(size: tuple[int, int], most: int, max_side: int) -> list[Tile]:
    """Return the tiles of an image, by rows; none for an image that is not large.

    An image is large if its longer side is over :data:`LARGE` times the detector's scale. Each side then has as many tiles as steps
    of half that scale (:data:`STEPS`), at most ``most``. All tiles of an image have one size; neighbours overlap by :data:`OVERLAP`.

    Args:
        size: width and height of the displayed image, in pixels.
        most: the largest number of tiles along each side.
        max_side: the detector's scale: the longer side to which whole images are shrunk, in pixels; 0 for none.
    """
    scale = max_side or SCALE
    width, height = size
    if max(width, height) <= LARGE * scale:
        return []
    rows, columns = (_spans(side, scale, most) for side in (height, width))
    return [
        Tile(f"{TILES[most]} {row}.{column}", top, left, bottom, right)
        for (row, (top, bottom)), (column, (left, right)) in product(enumerate(rows, 1), enumerate(columns, 1))
    ]


def _spans(side: int, scale: int, most: int) -> list[tuple[float, float]]:
    """Return the beginning and the end of each tile along a side."""
    number = min(most, -(-side * STEPS // scale))
    length = (1 + (number - 1) * OVERLAP) / number
    ends = [length + place * (length - OVERLAP) for place in range(number - 1)] + [1.0]
    return [(max(0.0, end - length), end) for end in ends]


def no_detections(size: tuple[int, int]) -> Detections:
    """Return no detections in an image of some width and height, in pixels."""
    return Detections(np.zeros([0, 4], np.float32), np.zeros(0, np.float32), (), (), *size)


def joined(views: Sequence[Detections]) -> Detections:
    """Return the detections of several views of one image as one, the best score first.

    Args:
        views: at least one.
    """
    first = views[0]
    views = [each for each in views if len(each)]
    if len(views) < 2:
        return views[0] if views else first
    names = [each.view(row) for each in views for row in range(len(each))]
    together = replace(
        views[0],
        boxes=np.concatenate([each.boxes for each in views]),
        scores=np.concatenate([each.scores for each in views]),
        class_names=tuple(name for each in views for name in each.class_names),
        class_mids=tuple(mid for each in views for mid in each.class_mids),
        views=tuple(names),
        colours=_colours(views),
    )
    return together.chosen(np.argsort(-together.scores, kind="stable").tolist())


def _colours(views: Sequence[Detections]) -> NDArray[np.uint8] | None:
    if all(each.colours is None for each in views):
        return None
    unknown = [np.zeros((len(each), COLOURS), np.uint8) if each.colours is None else each.colours for each in views]
    return np.concatenate(unknown)
