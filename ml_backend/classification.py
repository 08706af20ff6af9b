"""``Classification``: the probabilities that a classifier gives the classes of one image."""

from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

CODEC_VERSION = 1


@dataclass(frozen=True, slots=True, eq=False)
class Classification:
    """The result of a classifier for one image, checked at construction and read-only afterwards.

    Attributes:
        probabilities: float32 [C], each in [0, 1], in the order of the classifier's classes; their sum is 1.
        width, height: size of the displayed image, in pixels.

    Raises:
        ValueError: the array has another form; the message has the expected and the actual one.
    """

    probabilities: NDArray[np.float32]
    width: int
    height: int

    def __post_init__(self) -> None:
        array = self.probabilities
        if array.dtype != np.float32 or array.ndim != 1 or not len(array):
            raise ValueError(f"probabilities: expected float32 [C], got {array.dtype} {list(array.shape)}")
        if not ((array >= 0) & (array <= 1)).all():  # NaN fails both comparisons
            raise ValueError("probabilities: expected numbers from 0 to 1")
        if self.width < 1 or self.height < 1:
            raise ValueError(f"width and height: expected at least 1 pixel, got {self.width} x {self.height}")
        array.setflags(write=False)

    def to_bytes(self) -> bytes:
        """Encode as msgpack: lossless, versioned, and safe to decode from a store that others can write to."""
        packed: bytes = msgpack.packb(
            {
                "version": CODEC_VERSION,
                "size": [self.width, self.height],
                "probabilities": self.probabilities.astype("<f4").tobytes(),
            }
        )
        return packed

    @classmethod
    def from_bytes(cls, packed: bytes) -> "Classification":
        """Decode the bytes of :meth:`to_bytes`.

        Raises:
            ValueError: other bytes, another version, or an array of another form.
        """
        try:
            fields: dict[str, Any] = msgpack.unpackb(packed)
            if fields["version"] != CODEC_VERSION:
                raise ValueError(f"codec version: expected {CODEC_VERSION}, got {fields['version']}")
            width, height = fields["size"]
            if {type(width), type(height)} != {int}:
                raise ValueError(f"expected a size of whole numbers, got {width} x {height}")
            probabilities = np.frombuffer(fields["probabilities"], dtype="<f4").astype(np.float32)
            return cls(probabilities, width, height)
        except (msgpack.UnpackException, KeyError, TypeError) as error:
            raise ValueError(f"not an encoded classification: {error!r}") from error
