"""Images that need no download: in the task itself, on this machine, or in a storage that this machine has the keys of. All calls block."""

from pathlib import Path

import fsspec

from ml_backend.errors import ImageFetchError, ImageRefusedError
from ml_backend.http.bounded_body import TooLargeError
from ml_backend.http.network_errors import storage_cause
from ml_backend.images import data_uri
from ml_backend.images.fetched import Fetched, too_large
from ml_backend.images.references import FileReference, InlineReference, StorageReference


def read_inline(reference: InlineReference, limit: int) -> Fetched:
    """Return the image in a ``data:`` URI.

    Raises:
        ImageReferenceError: it holds no data that can be decoded.
        ImageRefusedError: it is larger than ``limit`` bytes.
    """
    try:
        return Fetched.of(data_uri.decode(reference.uri, limit))
    except TooLargeError:
        raise too_large(reference, limit) from None


def read_file(reference: FileReference, limit: int) -> Fetched:
    """Return the image in a file of this machine.

    Raises:
        ImageRefusedError: it cannot be read, or is larger than ``limit`` bytes.
    """
    path: Path = reference.path
    try:
        if path.stat().st_size > limit:
            raise too_large(reference, limit)
        return Fetched.of(path.read_bytes())
    except OSError as error:
        raise ImageRefusedError(f"{reference} cannot be read: {error.strerror or error}") from None


def read_storage(reference: StorageReference, limit: int) -> Fetched:
    """Return the image at a cloud storage URI, read with the credentials of this machine.

    Raises:
        ImageRefusedError: it does not exist, is not permitted, or is larger than ``limit`` bytes.
        ImageFetchError: the storage does not answer as it should.
    """
    try:
        with fsspec.open(reference.uri, "rb") as file:
            data = file.read(limit + 1)
    except (FileNotFoundError, PermissionError, ImportError) as error:
        raise ImageRefusedError(f"{reference} cannot be read: {storage_cause(error)}") from None
    except Exception as error:  # each storage's client has errors of its own
        raise ImageFetchError(f"{reference} cannot be read: {storage_cause(error)}") from None
    if len(data) > limit:
        raise too_large(reference, limit)
    return Fetched.of(data)
