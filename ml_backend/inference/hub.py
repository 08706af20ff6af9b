"""Loads the module of a handle with TensorFlow Hub, and works around four problems of it.

TensorFlow Hub 0.16 keeps downloads in the temporary folder, treats an incomplete folder there as a finished download, waits ten minutes for
the lock of a killed process, and has no time-out.
"""

import contextlib
import hashlib
import os
import re
import shutil
import socket
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

from ml_backend.errors import ModelLoadError
from ml_backend.inference import demo_model
from ml_backend.redaction import redact

SILENCE_SECONDS = 60  # without data, after which a download fails
_GONE = {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}

Progress = Callable[[str], None]


def check_source(handle: str, cache_dir: Path, variable: str = "PRELABEL_MODEL") -> None:
    """Check that a model can be had, without TensorFlow, whose import takes seconds of a processor at each restart of a service.

    An address is asked only where TensorFlow Hub has not kept its module, and no more than the head of the answer is read. Other
    addresses than those of HTTP are not checked.

    Args:
        handle: as in :func:`load_module`.
        cache_dir: folder of downloads.
        variable: the setting that names the handle, for messages.

    Raises:
        ModelLoadError: there is no such folder or file, the host cannot be reached or has no such module, or the folder of downloads cannot
            be made.
    """
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        if "://" not in handle:
            if handle != demo_model.HANDLE:
                _local_path(handle)
        elif handle.startswith(("http://", "https://")) and not _kept_download(handle, cache_dir).exists():
            _ask(handle)
    except HTTPError as error:
        error.close()
        if error.code in _GONE:  # other answers may change with the query that TensorFlow Hub adds
            raise ModelLoadError(_explain(handle, cache_dir, error, variable)) from error
    except (OSError, ValueError, HTTPException) as error:
        raise ModelLoadError(_explain(handle, cache_dir, error, variable)) from error


def _ask(address: str) -> None:
    if "@" in urlsplit(address).netloc:
        raise ValueError("TensorFlow Hub cannot send the user and the password in the address")
    urlopen(address, timeout=SILENCE_SECONDS).close()  # noqa: S310 - http or https, says the caller


def _kept_download(handle: str, cache_dir: Path) -> Path:
    # The name that tensorflow_hub 0.16.1 gives it (compressed_module_resolver.py).
    return cache_dir / hashlib.sha1(handle.encode(), usedforsecurity=False).hexdigest()


def load_module(handle: str, cache_dir: Path, progress: Progress, variable: str = "PRELABEL_MODEL") -> tuple[Any, str]:
    """Load the module of a handle.

    Args:
        handle: ``demo``, a tfhub.dev or Kaggle address, any http(s) address of a ``.tar.gz``, a ``gs://`` path, a folder, or a ``.tar.gz`` file.
        cache_dir: folder of downloads and unpacked archives.
        progress: called with a text at each step.
        variable: the setting that names the handle, for messages.

    Returns:
        The loaded module and the folder with its files.

    Raises:
        ModelLoadError: it cannot be loaded; the message has the handle, the cause and the remedies.
    """
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        return _load_mending(handle, cache_dir, progress)
    # The hub raises OSError, URLError, ValueError, RuntimeError, EOFError, tf.errors.OpError, …
    except Exception as error:
        raise ModelLoadError(_explain(handle, cache_dir, error, variable)) from error


def _load_mending(handle: str, cache_dir: Path, progress: Progress) -> tuple[Any, str]:
    folder, fetched = _resolve(handle, cache_dir, progress)
    if not fetched:
        progress(f"loading {redact(folder)}")
        return _load(folder), folder
    try:
        progress(f"loading {folder}")
        return _load_whole(folder), folder
    except Exception as error:
        progress(f"{folder} is broken ({type(error).__name__}); fetching it again")
        aside = Path(f"{folder}.broken")
        shutil.rmtree(aside, ignore_errors=True)
        Path(folder).rename(aside)
        try:
            _resolve(handle, cache_dir, progress)
            loaded = _load(folder), folder
        except BaseException:
            # Without network there may be no other copy, and a person may be able to repair it.
            shutil.rmtree(folder, ignore_errors=True)
            aside.rename(folder)
            raise
        shutil.rmtree(aside)
        return loaded


def _load_whole(folder: str) -> Any:
    if _is_half_empty(folder):
        raise FileNotFoundError(f"{folder} is incomplete")
    return _load(folder)


def _load(folder: str) -> Any:
    from ml_backend.inference.runtimes.tensorflow import hub

    return hub.load(folder)


def local_folder(handle: str, cache_dir: Path) -> tuple[str, bool]:
    """Return the folder of a handle without ``://``, and whether it was unpacked into ``cache_dir``."""
    if handle == demo_model.HANDLE:
        return str(demo_model.build(cache_dir)), False
    path = _local_path(handle)
    return (str(_unpacked(path, cache_dir)), True) if path.is_file() else (str(path), False)


def _local_path(handle: str) -> Path:
    path = Path(handle).expanduser()
    if not path.is_file() and not path.is_dir():
        raise FileNotFoundError(f"there is no folder and no file of that name (looked for {path.absolute()})")
    return path


def _resolve(handle: str, cache_dir: Path, progress: Progress) -> tuple[str, bool]:
    """Return the folder with the module's files, and whether it was fetched or unpacked into ``cache_dir``."""
    if "://" not in handle:
        return local_folder(handle, cache_dir)
    from ml_backend.inference.runtimes.tensorflow import hub

    # TensorFlow Hub reads its cache folder from the environment only.
    os.environ["TFHUB_CACHE_DIR"] = str(cache_dir)
    _remove_dead_locks(cache_dir)
    with _patience(), _watched(handle, cache_dir, progress):
        folder = str(hub.resolve(handle))
    return folder, Path(folder).parent == cache_dir


def _unpacked(archive: Path, cache_dir: Path) -> Path:
    # Named by content, so that a new archive with an old name gets a new folder.
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    folder = cache_dir / f"archive-{digest[:16]}"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=cache_dir, prefix=folder.name, suffix=".tmp") as unfinished:
            with tarfile.open(archive) as tar:
                tar.extractall(Path(unfinished) / "module", filter="data")
            # Some archives have the module's files at the top, others in one folder.
            inside = list((Path(unfinished) / "module").iterdir())
            whole = inside[0] if len(inside) == 1 and inside[0].is_dir() else Path(unfinished) / "module"
            whole.rename(folder)
    return folder


def _is_half_empty(folder: str) -> bool:
    variables = Path(folder) / "variables"
    graph = any((Path(folder) / name).exists() for name in ("saved_model.pb", "saved_model.pbtxt"))
    return not graph or (variables / "variables.index").exists() != any(variables.glob("variables.data-*"))


def _remove_dead_locks(cache_dir: Path) -> None:
    # TensorFlow Hub writes "<host>.<pid>.<uuid>" into its lock files. A lock of an ended process on this host is stale.
    for lock in cache_dir.glob("*.lock"):
        with contextlib.suppress(OSError):
            host, pid, _ = lock.read_text().rsplit(".", 2)
            if host == socket.gethostname() and not _is_running(int(pid)):
                lock.unlink()


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextlib.contextmanager
def _watched(handle: str, cache_dir: Path, progress: Progress) -> Iterator[None]:
    # TensorFlow Hub downloads into "<name>.<uuid>.tmp" beside the final folder; its size is the only sign of progress.
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.5):
            size = sum(
                file.stat().st_size
                for folder in cache_dir.glob("*.tmp")
                for file in folder.rglob("*")
                if file.is_file()
            )
            progress(f"fetching {redact(handle)} ({size / 1e6:.1f} MB so far)")

    progress(f"fetching {redact(handle)}")
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _explain(handle: str, cache_dir: Path, error: Exception, variable: str) -> str:
    inner = error.reason if isinstance(error, URLError) and not isinstance(error, HTTPError) else error
    cause = redact(str(inner).strip().split("\n")[0] or type(error).__name__)
    return (
        f"{redact(handle)} cannot be loaded: {cause}. Remedies: name a folder or .tar.gz on this machine ({variable}=/path/to/module), "
        f"fill the folder of downloads on a machine with network access and copy it here (TFHUB_CACHE_DIR={cache_dir}), or try Prelabel "
        "with its drawn scenes (prelabel demo)."
    )


def model_name(handle: str) -> str:
    """Return a short name for the model of a handle, for use in ``model_version``.

    >>> model_name("demo")
    'demo-shapes'
    >>> model_name("https://tfhub.dev/google/openimages_v4/ssd/mobilenet_v2/1")
    'openimages_v4-ssd-mobilenet_v2'
    >>> model_name("https://www.kaggle.com/models/google/openimages-v4/tensorFlow1/ssd-mobilenet-v2/1")
    'openimages-v4-ssd-mobilenet-v2'
    >>> model_name("/models/my detector.tar.gz")
    'my-detector'
    """
    if handle == demo_model.HANDLE:
        return demo_model.NAME
    if "://" not in handle:
        name = Path(handle).expanduser().resolve().name
    else:
        noise = {"models", "google", "tensorflow1", "tensorflow2", "frameworks", "variations", "versions"}
        segments = urlsplit(handle).path.split("/")
        name = "-".join(part for part in segments if part and not part.isdigit() and part.lower() not in noise)
    name = re.sub(r"\.(tar\.gz|tgz|tar)$", "", name)
    return re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-") or "model"
