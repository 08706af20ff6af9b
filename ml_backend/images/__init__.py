"""From what a task says about its picture to RGB pixels: the reference, the bytes, the picture."""

from ml_backend.images.decode import decode
from ml_backend.images.diagnosis import Finding
from ml_backend.images.fetch import Fetched, ImageFetcher
from ml_backend.images.label_studio import LabelStudio, LabelStudios
from ml_backend.images.references import CloudReference, ImageReference, parse_reference
from ml_backend.images.versions import PictureVersion

__all__ = [
    "CloudReference",
    "Fetched",
    "Finding",
    "ImageFetcher",
    "ImageReference",
    "LabelStudio",
    "LabelStudios",
    "PictureVersion",
    "decode",
    "parse_reference",
]
