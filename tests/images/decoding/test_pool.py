import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile_images import (
    encoded,
    large_solid,
    many_segments,
    noisy_fax,
    padded_markers,
    photograph,
    repeated_scans,
)
from structlog.testing import capture_logs
from waiting import wait_until

from ml_backend.errors import ImageDecodeError, NotAnImageError, PrelabelError
from ml_backend.images.decoding.decode import decode
from ml_backend.images.decoding.pool import DecoderPool, Limits

LIMITS = Limits(pixels=50_000_000, seconds=2, memory=512_000_000)
GOOD = encoded(photograph(), "JPEG")


@pytest.fixture
def pool() -> Iterator[DecoderPool]:
    """Give a pool with the default limits."""
    with DecoderPool(LIMITS) as pool:
        yield pool


def children() -> set[int]:
    """Return the processes that this one has started and that have not ended."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid() and fields[0] != "Z":
            found.add(int(folder.name))
    return found


@pytest.mark.parametrize("max_side", [0, 100, 10_000])
def test_pixels_are_those_of_decoding_in_this_process(pool: DecoderPool, max_side: int) -> None:
    """The way through another process changes nothing."""
    here = decode(GOOD, max_pixels=LIMITS.pixels, max_side=max_side)
    there = pool.decode(GOOD, max_side)
    assert np.array_equal(here.pixels, there.pixels)
    assert (here.width, here.height) == (there.width, there.height)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(repeated_scans, id="each scan of a progressive JPEG goes over all its coefficients"),
        pytest.param(padded_markers, id="fill bytes before a marker are skipped one by one"),
        pytest.param(many_segments, id="metadata is copied each time that some is appended"),
    ],
)
def test_costly_image_is_ended_by_its_processor_time(make: Callable[[], bytes]) -> None:
    """The processor time of one image is bounded, and the next image is decoded."""
    with DecoderPool(Limits(LIMITS.pixels, 0.5, LIMITS.memory)) as pool:
        with pytest.raises(
            ImageDecodeError, match=r"more than 0\.5 s of processor time \(PRELABEL_IMAGE_MAX_SECONDS\)"
        ):
            pool.decode(make())
        assert pool.decode(GOOD).width == 320


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel bounds memory on Linux")
@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        pytest.param("WEBP", {"lossless": True}, id="34 bytes of WebP: two canvases and the image"),
        pytest.param("AVIF", {"speed": 10}, id="AVIF"),
        pytest.param("PNG", {}, id="PNG"),
    ],
)
def test_memory_of_one_image_is_bounded(file_format: str, options: dict[str, Any]) -> None:
    """An image that needs more memory fails, and the process that refused it goes on."""
    with DecoderPool(Limits(LIMITS.pixels, 10, 64_000_000)) as pool:
        with pytest.raises(ImageDecodeError, match="memory"):
            pool.decode(large_solid(file_format, **options))
        assert pool.decode(GOOD).width == 320


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        pytest.param(b"<!doctype html>", NotAnImageError, id="no image"),
        pytest.param(b"", NotAnImageError, id="nothing"),
        pytest.param(GOOD[:500], ImageDecodeError, id="a truncated image"),
    ],
)
def test_process_goes_on_after_an_image_that_cannot_be_read(
    pool: DecoderPool, data: bytes, kind: type[ImageDecodeError]
) -> None:
    """Only limits cost a process; ordinary errors do not."""
    pool.start()
    before = children()
    with pytest.raises(ImageDecodeError) as raised:
        pool.decode(data)
    assert type(raised.value) is kind
    pool.decode(GOOD)
    assert children() == before


def test_crash_of_a_decoder_fails_one_image(pool: DecoderPool) -> None:
    """A decoder that ends by a signal, as after a fault in a library, fails its image and is replaced."""
    started = children()
    with ThreadPoolExecutor(1) as threads:
        failing = threads.submit(pool.decode, repeated_scans(times=200))
        wait_until(lambda: bool(children() - started))
        for process in children() - started:
            os.kill(process, signal.SIGSEGV)
        with pytest.raises(ImageDecodeError, match="SIGSEGV"):
            failing.result()
    assert pool.decode(GOOD).width == 320


def test_libraries_write_to_the_log_within_a_bound(pool: DecoderPool, capfd: pytest.CaptureFixture[str]) -> None:
    """98,000 complaints of libtiff become one record of some hundred characters, and nothing reaches standard error."""
    with capture_logs() as records:
        assert pool.decode(noisy_fax(), 640).height == 99_999
    assert "Fax3Decode1D" in records[0]["notes"]
    assert len(records) == 1
    assert len(records[0]["notes"]) <= 300
    assert capfd.readouterr().err == ""


def test_decoder_knows_no_secrets(pool: DecoderPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens and passwords of the environment do not reach the processes that read strangers' bytes."""
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "very-secret")
    before = children()
    pool.start()
    (decoder,) = children() - before
    wait_until(lambda: b"decoding.process" in Path(f"/proc/{decoder}/cmdline").read_bytes())
    assert b"very-secret" not in Path(f"/proc/{decoder}/environ").read_bytes()


def test_threads_share_the_pool(pool: DecoderPool) -> None:
    """Calls side by side get their own pictures, and processes are used again."""
    before = children()
    sizes = [(200 + number, 100) for number in range(24)]
    files = [encoded(photograph(1, *size), "PNG") for size in sizes]
    with ThreadPoolExecutor(4) as threads:
        pictures = list(threads.map(pool.decode, files))
    assert [(picture.width, picture.height) for picture in pictures] == [photograph(1, *size).size for size in sizes]
    assert len(children() - before) <= 4


def test_closing_ends_what_decodes() -> None:
    """A decode that goes on does not hold up the end of the service, and no process stays."""
    before = children()
    pool = DecoderPool(Limits(LIMITS.pixels, 60, LIMITS.memory))
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(pool.decode, repeated_scans())
        wait_until(lambda: bool(children() - before))
        pool.close()
        with pytest.raises(PrelabelError, match="stopping"):
            running.result(30)
    assert children() == before
    with pytest.raises(PrelabelError, match="stopping"):
        pool.decode(GOOD)


def test_decoders_end_with_a_service_that_was_killed() -> None:
    """SIGKILL gives the service no time to end its decoders; they notice by themselves."""
    program = (
        "import os, sys, time\n"
        "from ml_backend.images.decoding.pool import DecoderPool, Limits\n"
        "pool = DecoderPool(Limits(50_000_000, 2, 512_000_000))\n"
        "pool.decode(sys.stdin.buffer.read())\n"
        "print(*(process.pid for process in [next(iter(pool._all))._process]), flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as service:
        assert service.stdin
        assert service.stdout
        service.stdin.write(GOOD)
        service.stdin.close()
        decoder = int(service.stdout.readline())
        service.kill()

    def ended() -> bool:
        stat = Path(f"/proc/{decoder}/stat")
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"

    wait_until(ended)
