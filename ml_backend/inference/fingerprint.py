"""The fingerprint of a model: a digest of its files, independent of its address."""

import hashlib
from pathlib import Path
from typing import Any

_PARTS = ("saved_model.pb", "saved_model.pbtxt", "tfhub_module.pb", "variables/", "assets/")
_CHUNK = 1 << 20


def fingerprint(folder: str) -> str:
    """Hash the files of a SavedModel: SHA-256 over sorted relative names and contents, as 64 hex digits.

    Files that are not part of the format (notes, ``.DS_Store``) do not count.

    Args:
        folder: on any file system that TensorFlow reads, such as ``gs://``. A folder of this machine needs no TensorFlow.
    """
    files = _remote_files(folder) if "://" in folder else _local_files(Path(folder))
    total = hashlib.sha256()
    for name, path in sorted(files.items()):
        content = hashlib.sha256()
        with _open(path) as file:
            while chunk := file.read(_CHUNK):
                content.update(chunk)
        total.update(f"{name}\0{content.hexdigest()}\n".encode())
    return total.hexdigest()


def _local_files(folder: Path) -> dict[str, str]:
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: str(path) for name, path in files.items() if name.startswith(_PARTS)}


def _remote_files(folder: str) -> dict[str, str]:
    from ml_backend.inference.runtimes.tensorflow import tf

    found: dict[str, str] = {}
    for parent, _, files in tf.io.gfile.walk(folder):
        below = parent[len(folder) :].strip("/\\").replace("\\", "/")
        found |= {f"{below}/{file}" if below else file: tf.io.gfile.join(parent, file) for file in files}
    return {name: path for name, path in found.items() if name.startswith(_PARTS)}


def _open(path: str) -> Any:
    if "://" not in path:
        return Path(path).open("rb")
    from ml_backend.inference.runtimes.tensorflow import tf

    return tf.io.gfile.GFile(path, "rb")
