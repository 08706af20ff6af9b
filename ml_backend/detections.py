"""``Detections``: the objects that a detector found in one image, with boxes, scores and classes."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import msgpack
import numpy as np
from numpy.typing import NDArray

CODEC_VERSION = 1
WHOLE = ""  # the view of a detection in the whole image
COLOURS = 6  # numbers of a box


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Parallel arrays, one row per detection, checked at construction and read-only afterwards.

    Attributes:
        boxes: float32 [N, 4], rows of ``ymin, xmin, ymax, xmax``, normalized to [0, 1] of the image **as it is displayed** (EXIF
            orientation applied). Boxes may extend a little beyond the image; they are not clamped here.
        scores: float32 [N], each in [0, 1].
        class_names: N readable class names, such as ``"Person"``.
        class_mids: N machine identifiers of the Knowledge Graph, such as ``"/m/01g317"``; ``""`` where there is none.
        width, height: size of the displayed image, in pixels.
        views: N names of the view in which each was found: :data:`WHOLE`, or kind of results, row and column of a tile, such as
            ``"tiles2 1.2"``. Empty where all were found in the whole image.
        colours: uint8 [N, 6], mean and deviation of the colours in each box (:mod:`ml_backend.images.box_colours`). A row of zeros, which no
            colour has, stands for unknown ones. None where all are unknown, as in entries of versions before colours.

    Raises:
        ValueError: the arrays do not match; the message has the expected and the actual shape.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_names: tuple[str, ...]
    class_mids: tuple[str, ...]
    width: int
    height: int
    views: tuple[str, ...] = ()
    colours: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        rows = len(self.class_names)
        _expect("boxes", self.boxes, (rows, 4))
        _expect("scores", self.scores, (rows,))
        if len(self.class_mids) != rows:
            raise ValueError(f"class_mids: expected {rows} entries, one per class name, got {len(self.class_mids)}")
        if self.views and len(self.views) != rows:
            raise ValueError(f"views: expected {rows} entries, one per class name, or none, got {len(self.views)}")
        if not np.isfinite(self.boxes).all():
            raise ValueError("boxes: expected finite numbers, got NaN or infinity")
        if not ((self.scores >= 0) & (self.scores <= 1)).all():  # NaN fails both comparisons
            raise ValueError("scores: expected numbers from 0 to 1")
        if self.width < 1 or self.height < 1:
            raise ValueError(f"width and height: expected at least 1 pixel, got {self.width} x {self.height}")
        self.boxes.setflags(write=False)
        self.scores.setflags(write=False)
        if self.colours is not None:
            _expect("colours", self.colours, (rows, COLOURS), np.uint8)
            self.colours.setflags(write=False)

    def __len__(self) -> int:
        return len(self.class_names)

    def view(self, row: int) -> str:
        """Return the view in which a detection was found."""
        return self.views[row] if self.views else WHOLE

    def seen_in(self, kinds: Collection[str]) -> Self:
        """Return the detections in the whole image, and those in tiles of some kinds of results."""
        if not self.views:
            return self
        kept = [row for row, view in enumerate(self.views) if view == WHOLE or view.partition(" ")[0] in kinds]
        return self if len(kept) == len(self) else self.chosen(kept)

    def chosen(self, rows: Sequence[int]) -> Self:
        """Return some of the detections.

        Args:
            rows: of the detections, in the order of the result.
        """
        return replace(
            self,
            boxes=self.boxes[rows],
            scores=self.scores[rows],
            class_names=tuple(self.class_names[row] for row in rows),
            class_mids=tuple(self.class_mids[row] for row in rows),
            views=tuple(self.views[row] for row in rows) if self.views else (),
            colours=None if self.colours is None else self.colours[rows],
        )

    def to_bytes(self) -> bytes:
        """Encode as msgpack: lossless, versioned, and safe to decode from a store that others can write to."""
        names = {name: place for place, name in enumerate(dict.fromkeys(self.class_names))}
        mids = {mid: place for place, mid in enumerate(dict.fromkeys(self.class_mids))}
        fields: dict[str, Any] = {
            "version": CODEC_VERSION,
            "size": [self.width, self.height],
            "boxes": self.boxes.astype("<f4").tobytes(),
            "scores": self.scores.astype("<f4").tobytes(),
            "names": list(names),
            "name_of": [names[name] for name in self.class_names],
            "mids": list(mids),
            "mid_of": [mids[mid] for mid in self.class_mids],
        }
        if self.views:  # without them, the bytes are those of versions before tiles
            views = {view: place for place, view in enumerate(dict.fromkeys(self.views))}
            fields |= {"views": list(views), "view_of": [views[view] for view in self.views]}
        if self.colours is not None:  # versions before colours ignore them
            # Detections with low scores come last, and have none.
            fields["colours"] = self.colours.tobytes().rstrip(b"\0")
        packed: bytes = msgpack.packb(fields)
        return packed

    @classmethod
    def from_bytes(cls, packed: bytes) -> "Detections":
        """Decode the bytes of :meth:`to_bytes`.

        Raises:
            ValueError: other bytes, another version, or arrays that do not match.
        """
        try:
            fields: dict[str, Any] = msgpack.unpackb(packed)
            if fields["version"] != CODEC_VERSION:
                raise ValueError(f"codec version: expected {CODEC_VERSION}, got {fields['version']}")
            width, height = fields["size"]
            views = fields.get("views", [])
            texts = {*map(type, fields["names"]), *map(type, fields["mids"]), *map(type, views)}
            if texts - {str} or {type(width), type(height)} != {int}:
                raise ValueError(
                    f"expected names of text and a size of whole numbers, got {texts} and {width} x {height}"
                )
            return cls(
                boxes=np.frombuffer(fields["boxes"], dtype="<f4").reshape(-1, 4).astype(np.float32),
                scores=np.frombuffer(fields["scores"], dtype="<f4").astype(np.float32),
                class_names=tuple(fields["names"][index] for index in fields["name_of"]),
                class_mids=tuple(fields["mids"][index] for index in fields["mid_of"]),
                width=width,
                height=height,
                views=tuple(views[index] for index in fields.get("view_of", ())),
                colours=_colours_from(fields.get("colours"), len(fields["name_of"])),
            )
        except (msgpack.UnpackException, KeyError, IndexError, TypeError) as error:
            raise ValueError(f"not encoded detections: {error!r}") from error


def iou(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the intersection over union (IoU) of each box with each other one.

    Args:
        boxes: float32 [N, 4], ``ymin, xmin, ymax, xmax``, in any one unit.
        others: float32 [M, 4], in the same form and unit.

    Returns:
        float32 [N, M], 0 to 1; 0 where both boxes have no area.
    """
    corner = np.maximum(boxes[:, None, :2], others[None, :, :2])
    opposite = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    sides = np.maximum(opposite - corner, 0)
    common = sides[..., 0] * sides[..., 1]
    union = areas(boxes)[:, None] + areas(others)[None, :] - common
    overlap: NDArray[np.float32] = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return overlap


def areas(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the area of each box, float32 [N], in the square of the boxes' unit; 0 where edges are swapped.

    Args:
        boxes: float32 [N, 4], ``ymin, xmin, ymax, xmax``, in any one unit.
    """
    sides: NDArray[np.float32] = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return sides[:, 0] * sides[:, 1]


def _colours_from(written: bytes | None, rows: int) -> NDArray[np.uint8] | None:
    if written is None:
        return None
    padded = np.zeros(rows * COLOURS, np.uint8)
    padded[: len(written)] = np.frombuffer(written, np.uint8)  # refuses more than there are rows
    return padded.reshape(rows, COLOURS)


def _expect(name: str, array: NDArray[Any], shape: tuple[int, ...], dtype: type[np.generic] = np.float32) -> None:
    if array.dtype != dtype or array.shape != shape:
        expected = np.dtype(dtype).name
        raise ValueError(f"{name}: expected {expected} {list(shape)}, got {array.dtype} {list(array.shape)}")
