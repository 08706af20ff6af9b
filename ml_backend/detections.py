"""``Detections``: the objects that a detector found in one image, with boxes, scores and classes."""

from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

CODEC_VERSION = 1


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

    Raises:
        ValueError: the arrays do not match; the message has the expected and the actual shape.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_names: tuple[str, ...]
    class_mids: tuple[str, ...]
    width: int
    height: int

    def __post_init__(self) -> None:
        rows = len(self.class_names)
        _expect("boxes", self.boxes, (rows, 4))
        _expect("scores", self.scores, (rows,))
        if len(self.class_mids) != rows:
            raise ValueError(f"class_mids: expected {rows} entries, one per class name, got {len(self.class_mids)}")
        if not np.isfinite(self.boxes).all():
            raise ValueError("boxes: expected finite numbers, got NaN or infinity")
        if not ((self.scores >= 0) & (self.scores <= 1)).all():  # NaN fails both comparisons
            raise ValueError("scores: expected numbers from 0 to 1")
        if self.width < 1 or self.height < 1:
            raise ValueError(f"width and height: expected at least 1 pixel, got {self.width} x {self.height}")
        self.boxes.setflags(write=False)
        self.scores.setflags(write=False)

    def __len__(self) -> int:
        return len(self.class_names)

    def to_bytes(self) -> bytes:
        """Encode as msgpack: lossless, versioned, and safe to decode from a store that others can write to."""
        names = {name: place for place, name in enumerate(dict.fromkeys(self.class_names))}
        mids = {mid: place for place, mid in enumerate(dict.fromkeys(self.class_mids))}
        packed: bytes = msgpack.packb(
            {
                "version": CODEC_VERSION,
                "size": [self.width, self.height],
                "boxes": self.boxes.astype("<f4").tobytes(),
                "scores": self.scores.astype("<f4").tobytes(),
                "names": list(names),
                "name_of": [names[name] for name in self.class_names],
                "mids": list(mids),
                "mid_of": [mids[mid] for mid in self.class_mids],
            }
        )
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
            texts = {*map(type, fields["names"]), *map(type, fields["mids"])}
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


def _expect(name: str, array: NDArray[np.float32], shape: tuple[int, ...]) -> None:
    if array.dtype != np.float32 or array.shape != shape:
        raise ValueError(f"{name}: expected float32 {list(shape)}, got {array.dtype} {list(array.shape)}")
