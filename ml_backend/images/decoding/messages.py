"""The messages between the service and a decoder process, one JSON object a line. Pixels travel beside them, in a shared file."""

import os

import msgspec


class Job(msgspec.Struct, frozen=True):
    """A request to decode the image file at the beginning of the shared file.

    Attributes:
        size: of the image file, in bytes.
        max_pixels: limit of width x height.
        max_side: the longer side of the returned pixels; 0 for that of the file.
        seconds: limit of processor time.
        memory: bytes that decoding may allocate.
    """

    size: int
    max_pixels: int
    max_side: int
    seconds: float
    memory: int


class Reply(msgspec.Struct, frozen=True):
    """The result of a job. Without an error, the pixels are at the beginning of the shared file: uint8 [rows, columns, 3].

    Attributes:
        rows, columns: of the pixels.
        width, height: of the file, in the displayed frame.
        error: why the image cannot be decoded, or empty.
        is_image: whether the bytes have a known image format.
        notes: the beginning of the libraries' output on standard error.
    """

    rows: int = 0
    columns: int = 0
    width: int = 0
    height: int = 0
    error: str = ""
    is_image: bool = True
    notes: str = ""


def write(shared: int, data: bytes | memoryview) -> None:
    """Write to the beginning of the shared file. Its pages are reused, which is faster than truncating it."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.pwrite(shared, rest, len(data) - len(rest)) :]
