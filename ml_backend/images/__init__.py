"""From what a task says about its picture to RGB pixels: the reference, the bytes, the picture."""

from ml_backend.images.decode import decode
from ml_backend.images.diagnosis import Finding
from ml_backend.images.fetch import ImageFetcher
from ml_backend.images.label_studio import LabelStudio, LabelStudios
from ml_backend.images.references import FileReference, ImageReference, InlineReference, parse_reference

__all__ = [
    "FileReference",
    "Finding",
    "ImageFetcher",
    "ImageReference",
    "InlineReference",
    "LabelStudio",
    "LabelStudios",
    "decode",
    "parse_reference",
]
