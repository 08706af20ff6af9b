"""The main program of a decoder process: decodes images one by one, under limits that the kernel enforces.

Usage: ``python -m ml_backend.images.decoding.process SOCKET SHARED``, with the numbers of two inherited file descriptors: the socket for
messages and the shared file. The process ends when its parent does.
"""

import io
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np
from PIL import Image

from ml_backend.errors import ImageDecodeError, NotAnImageError
from ml_backend.images.decoding.decode import FORMATS, decode
from ml_backend.images.decoding.messages import Job, Reply, write

MAX_PIXEL_BYTES = 16  # of memory that decoding takes for a pixel, measured with WebP
NOTES = 300  # characters of the libraries' output on standard error that are passed on


def main(socket: int, shared: int) -> None:
    """Decode until the parent closes the socket, or a limit ends the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the parent decides
    notes = _own_standard_error()
    memory = _allocated()
    with os.fdopen(socket, "r+b", buffering=0) as parent, suppress(OSError):
        while line := parent.readline():
            job = msgspec.json.decode(line, type=Job)
            _limit(job.seconds, memory + job.memory)
            reply = _decode(job, shared)
            _limit(0, 0)
            parent.write(msgspec.json.encode(msgspec.structs.replace(reply, notes=_read(notes))) + b"\n")


def _decode(job: Job, shared: int) -> Reply:
    too_much = f"more than {job.memory / 1e6:,.0f} MB of memory (PRELABEL_IMAGE_MAX_MEMORY)"
    file = io.BytesIO(os.pread(shared, job.size, 0))
    try:
        decoded = decode(file, max_pixels=job.max_pixels, max_side=job.max_side)
        pixels = np.ascontiguousarray(decoded.pixels)
    except MemoryError:
        return Reply(error=f"decoding the image takes {too_much}")
    except NotAnImageError as error:
        return Reply(error=str(error), is_image=False)
    except ImageDecodeError as error:
        return Reply(error=f"{error}, or it takes {too_much}" if _is_large(file, job.memory) else str(error))
    write(shared, pixels.data.cast("B"))
    rows, columns, _ = pixels.shape
    return Reply(rows, columns, decoded.width, decoded.height)


def _is_large(file: BinaryIO, memory: int) -> bool:
    """Tell whether a library may have failed for lack of memory, which each reports with another message."""
    with suppress(Exception), Image.open(file, formats=FORMATS) as image:
        return image.width * image.height * MAX_PIXEL_BYTES > memory
    return True  # without memory, a WebP file cannot be opened either


def _limit(seconds: float, memory: int) -> None:
    """Set the kernel's limits on processor time and memory of this process; 0 for none."""
    # SIGPROF counts the processor time of all threads, and ends a process that does not handle it, even within a library.
    signal.setitimer(signal.ITIMER_PROF, seconds)
    if sys.platform == "linux":  # elsewhere, memory that malloc gets from mmap does not count
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (memory or hard, hard))


def _allocated() -> int:
    """Return the bytes that count towards RLIMIT_DATA already; 0 if unknown."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return 0


def _own_standard_error() -> int:
    """Redirect standard error, which libraries such as libtiff write to, into a pipe that drops output when full; gives its reading end."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    os.dup2(writing, 2)
    os.close(writing)
    return reading


def _read(notes: int) -> str:
    try:
        written = os.read(notes, 1 << 16)
    except BlockingIOError:
        return ""
    return written[:NOTES].decode("utf-8", "replace").strip()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
