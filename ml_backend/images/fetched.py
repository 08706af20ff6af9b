"""A fetched image, and the limits of time and size on fetching one."""

import asyncio
import hashlib
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Self, TypeVar

from ml_backend.errors import ImageFetchError, ImageRefusedError, NotAnImageError, PrelabelError
from ml_backend.images.references import ImageReference, unavailable
from ml_backend.images.versions import ImageVersion

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fetched:
    """The bytes of an image file.

    Attributes:
        data: all of them.
        version: which version of the image they are.
        untrusted: whether they came from, or by way of, a host other than the operator's Label Studio: callers then must not learn
            what else than an image they are.
    """

    data: bytes
    version: ImageVersion
    untrusted: bool = False

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Return bytes that came without HTTP, with the version that their digest gives them."""
        return cls(data, ImageVersion(hashlib.sha256(data).hexdigest()))

    def failure(self, reference: ImageReference, error: PrelabelError) -> PrelabelError:
        """Return an error about these bytes as one that names the image."""
        text = f"{reference}: {error}"
        if self.untrusted and isinstance(error, NotAnImageError):
            return ImageRefusedError(text, public=unavailable(reference))
        return type(error)(text)


async def in_time(work: Awaitable[T], seconds: float, reference: ImageReference) -> T:
    """Return the result of ``work``.

    Raises:
        ImageFetchError: it took longer than ``seconds``.
    """
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        raise ImageFetchError(f"{reference} did not arrive within {seconds:g} s (PRELABEL_IMAGE_TIMEOUT)") from None


def too_large(reference: ImageReference, limit: int) -> ImageRefusedError:
    """Return the error for an image file of more than ``limit`` bytes."""
    return ImageRefusedError(f"{reference} is over the limit of {limit:,} bytes (PRELABEL_IMAGE_MAX_BYTES)")
