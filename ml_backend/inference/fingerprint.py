"""The fingerprint of a model: a digest of its files, independent of its address."""

import hashlib

from ml_backend.inference.runtimes.tensorflow import tf

_PARTS = ("saved_model.pb", "saved_model.pbtxt", "tfhub_module.pb", "variables/", "assets/")
_CHUNK = 1 << 20


def fingerprint(folder: str) -> str:
    """Hash the files of a SavedModel: SHA-256 over sorted relative names and contents, as 64 hex digits.

    Files that are not part of the format (notes, ``.DS_Store``) do not count.

    Args:
        folder: on any file system that TensorFlow reads, such as ``gs://``.
    """
    total = hashlib.sha256()
    for name in sorted(_model_files(folder)):
        content = hashlib.sha256()
        with tf.io.gfile.GFile(tf.io.gfile.join(folder, name), "rb") as file:
            while chunk := file.read(_CHUNK):
                content.update(chunk)
        total.update(f"{name}\0{content.hexdigest()}\n".encode())
    return total.hexdigest()


def _model_files(folder: str) -> list[str]:
    found = []
    for parent, _, files in tf.io.gfile.walk(folder):
        below = parent[len(folder) :].strip("/\\").replace("\\", "/")
        names = (f"{below}/{file}" if below else file for file in files)
        found += [name for name in names if name.startswith(_PARTS)]
    return found
