"""``ImageWork``: the work on one fetched image, which is decoded once for all models, and the cost of each."""

from collections.abc import Callable
from dataclasses import dataclass

from ml_backend.images.decoding.decode import DecodedImage
from ml_backend.images.perceptual_hash import perceptual_hash
from ml_backend.model_results import ModelKind


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one kind of results for an image.

    Attributes:
        runs: of the model; each tile is one.
        seconds: of a worker, with decoding.
    """

    runs: int = 0
    seconds: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.runs + other.runs, self.seconds + other.seconds)


class ImageWork:
    """The work on one image.

    Args:
        data: the bytes of its file.
        decode: decodes bytes to pixels within a longer side; called by one thread at a time.
        max_side: the longer side of :meth:`pixels`; 0 for that of the file.
        hashed: whether the perceptual hash is needed too.

    Attributes:
        data: as given.
        size: width and height of the displayed image in pixels; None until a result or its pixels tell it.
        perceptual_hash: of :meth:`pixels`, 64 bits; None before they were needed, or where it is not needed.
        costs: of each kind of results that was computed.
    """

    def __init__(
        self, data: bytes, decode: Callable[[bytes, int], DecodedImage], max_side: int, *, hashed: bool = False
    ) -> None:
        self.data = data
        self.size: tuple[int, int] | None = None
        self.perceptual_hash: int | None = None
        self.costs: dict[ModelKind, Cost] = {}
        self._hashed = hashed
        self._decode = decode
        self._max_side = max_side
        self._pixels: DecodedImage | None = None

    def pixels(self) -> DecodedImage:
        """Return the pixels for models that see the whole image; called by one thread at a time."""
        if self._pixels is None:
            self._pixels = self.decoded(self._max_side)
            if self._hashed:
                self.perceptual_hash = perceptual_hash(self._pixels.pixels)
        return self._pixels

    def decoded(self, max_side: int) -> DecodedImage:
        """Decode the image, with a longer side of its own."""
        image = self._decode(self.data, max_side)
        self.size = image.width, image.height
        return image

    def spent(self, kind: ModelKind, cost: Cost) -> None:
        """Add to the cost of a kind of results."""
        self.costs[kind] = self.costs.get(kind, Cost()) + cost
