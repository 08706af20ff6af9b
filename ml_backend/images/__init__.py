"""From what a task says about its picture to the bytes of the file."""

from ml_backend.images.appearance import APPEARANCE, appearance
from ml_backend.images.diagnosis import Finding, storage_cause
from ml_backend.images.fetch import Fetched, ImageFetcher
from ml_backend.images.label_studio import LabelStudio, LabelStudios, is_task_id, readable
from ml_backend.images.references import (
    CloudReference,
    HttpReference,
    ImageReference,
    LabelStudioReference,
    StorageReference,
    parse_reference,
)
from ml_backend.images.versions import PictureVersion

__all__ = [
    "APPEARANCE",
    "CloudReference",
    "Fetched",
    "Finding",
    "HttpReference",
    "ImageFetcher",
    "ImageReference",
    "LabelStudio",
    "LabelStudioReference",
    "LabelStudios",
    "PictureVersion",
    "StorageReference",
    "appearance",
    "is_task_id",
    "parse_reference",
    "readable",
    "storage_cause",
]
