"""A pool of decoder processes, with limits on time and memory of one image.

A file of half a megabyte can take minutes to decode, in C code that cannot be interrupted in a thread. So images are decoded in processes,
which the kernel ends when they exceed their processor time. Files and pixels are exchanged through a shared file in memory.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import numpy as np
import structlog

from ml_backend.errors import ImageDecodeError, NotAnImageError, PrelabelError
from ml_backend.images.decoding.decode import DecodedImage
from ml_backend.images.decoding.messages import Job, Reply, write
from ml_backend.settings import Settings

log = structlog.get_logger(__name__)

WALL_SECONDS = 60  # for one image, if the machine is too busy to give the decoder its processor time
END_SECONDS = 5  # for a process to exit after it has closed its socket
KEPT_BYTES = 8_000_000  # of the shared file between two images
STOPPING = "Prelabel is stopping"
TUNING = {
    "OPENBLAS_NUM_THREADS": "1",  # the memory of its threads would count as allocated
    # By default, glibc returns each image's memory to the kernel, which clears it for the next one: 5 % of the time of a photograph.
    "MALLOC_MMAP_THRESHOLD_": "16000000",
    "MALLOC_TRIM_THRESHOLD_": "32000000",
}
# The rest of the environment holds secrets, which a decoder does not need.
INHERITED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "LANG", "LC_ALL")


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on one image.

    Attributes:
        pixels: width x height.
        seconds: of processor time.
        memory: bytes that decoding may allocate.
    """

    pixels: int
    seconds: float
    memory: int

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the limits in the settings."""
        return cls(settings.image_max_pixels, settings.image_max_seconds, int(settings.image_max_memory))


class DecoderPool:
    """Decodes images in separate processes; thread-safe.

    There are as many processes as there were concurrent calls. After a limit has ended one, the next call starts another.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._idle: list[_Decoder] = []
        self._all: set[_Decoder] = set()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the first process, so that the first image does not wait for it."""
        self._put(self._take())

    def decode(self, data: bytes, max_side: int = 0) -> DecodedImage:
        """Decode an image file; see :func:`~ml_backend.images.decoding.decode.decode`. Blocks until done.

        Args:
            data: the bytes of the file.
            max_side: the longer side of the returned pixels; 0 for that of the file.

        Raises:
            NotAnImageError: the bytes have no known image format.
            ImageDecodeError: the image is broken, or exceeds a limit.
            PrelabelError: no process can be started, or the pool is closed.
        """
        decoder = self._take()
        try:
            image = decoder.decode(data, max_side, self._limits)
        except _ReportedError as error:
            self._put(decoder)
            raise error.cause from None
        except BaseException:
            self._end(decoder)
            raise
        self._put(decoder)
        return image

    def close(self) -> None:
        """End all processes, including busy ones."""
        with self._lock:
            self._closed = True
            decoders, idle = list(self._all), self._idle
            self._idle = []
        for decoder in decoders:
            decoder.kill()  # the thread that waits for it frees it
        for decoder in idle:
            self._end(decoder)

    def _take(self) -> "_Decoder":
        with self._lock:
            if self._closed:
                raise PrelabelError(STOPPING)
            if self._idle:
                return self._idle.pop()
        try:
            decoder = _Decoder()
        except OSError as error:
            raise PrelabelError(f"no decoder process can be started: {error.strerror or error}") from error
        if not self._add(decoder):  # the pool was closed while the process started
            self._end(decoder)
            raise PrelabelError(STOPPING)
        return decoder

    def _add(self, decoder: "_Decoder") -> bool:
        with self._lock:
            self._all.add(decoder)
            return not self._closed

    def _put(self, decoder: "_Decoder") -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(decoder)
                return
        self._end(decoder)

    def _end(self, decoder: "_Decoder") -> None:
        with self._lock:
            self._all.discard(decoder)
        decoder.end()


class _ReportedError(Exception):
    """The decoder process reported why an image cannot be decoded, and can decode the next one."""

    def __init__(self, cause: ImageDecodeError) -> None:
        self.cause = cause


class _Decoder:
    """One decoder process, used by one thread at a time."""

    def __init__(self) -> None:
        package = Path(__file__).parents[3]
        environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
        environment |= {"PYTHONPATH": str(package)} | TUNING
        self._shared = _shared_file()
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(WALL_SECONDS)
        with theirs:
            inherited = (theirs.fileno(), self._shared)
            self._process = subprocess.Popen(  # noqa: S603 - a constant command
                [sys.executable, "-W", "ignore", "-m", "ml_backend.images.decoding.process", *map(str, inherited)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=environment,
                pass_fds=inherited,
                start_new_session=True,  # Ctrl-C in a terminal reaches only the service, which ends its decoders
            )

    def decode(self, data: bytes, max_side: int, limits: Limits) -> DecodedImage:
        """Decode one image.

        Raises:
            _ReportedError: the image cannot be decoded; the process can be used again.
            ImageDecodeError: the image cannot be decoded; the process has ended or must be ended.
        """
        write(self._shared, data)
        job = Job(len(data), limits.pixels, max_side, limits.seconds, limits.memory)
        try:
            self._socket.sendall(msgspec.json.encode(job) + b"\n")
            line = b""
            while not line.endswith(b"\n"):
                part = self._socket.recv(4096)
                if not part:
                    raise ConnectionError
                line += part
        except TimeoutError:
            raise ImageDecodeError(
                f"the image was not decoded within {WALL_SECONDS} s; this machine is too busy"
            ) from None
        except OSError:
            raise ImageDecodeError(self._exit_cause(limits)) from None
        reply = msgspec.json.decode(line, type=Reply)
        if reply.notes:
            log.info("output of a library while decoding an image", notes=reply.notes)
        if reply.error:
            raise _ReportedError((ImageDecodeError if reply.is_image else NotAnImageError)(reply.error))
        pixels = np.empty((reply.rows, reply.columns, 3), np.uint8)
        os.preadv(self._shared, [pixels.data], 0)
        if max(pixels.nbytes, len(data)) > KEPT_BYTES:
            os.ftruncate(self._shared, 0)
        return DecodedImage(pixels, reply.width, reply.height)

    def _exit_cause(self, limits: Limits) -> str:
        try:
            status = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return "the decoder failed on the image"
        if status == -signal.SIGPROF:
            limit = f"{limits.seconds:g} s of processor time (PRELABEL_IMAGE_MAX_SECONDS)"
            return f"decoding the image takes more than {limit}"
        if status == -signal.SIGKILL:
            return "the decoder was killed: the service is stopping, or the machine is out of memory"
        name = signal.Signals(-status).name if status < 0 else f"status {status}"
        return f"the decoder crashed on the image ({name})"

    def kill(self) -> None:
        """Kill the process; a thread that waits for its reply gets an error."""
        self._process.kill()

    def end(self) -> None:
        """Kill the process, and free its resources."""
        self.kill()
        self._process.wait()
        self._socket.close()
        os.close(self._shared)


def _shared_file() -> int:
    """Return the descriptor of an unnamed file. On Linux it is a memfd, since /dev/shm in containers may have 64 MB only."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("prelabel-image")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
