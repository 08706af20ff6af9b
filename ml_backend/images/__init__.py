"""From what a task says about its picture to RGB pixels: the reference, the bytes, the picture."""

from ml_backend.images.decode import decode
from ml_backend.images.fetch import ImageFetcher
from ml_backend.images.references import FileReference, HttpReference, ImageReference, InlineReference, parse_reference

__all__ = [
    "FileReference",
    "HttpReference",
    "ImageFetcher",
    "ImageReference",
    "InlineReference",
    "decode",
    "parse_reference",
]
