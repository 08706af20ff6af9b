"""Converted models beside the downloads: the graph, the signatures of the model, and the proof that both runtimes agree.

A folder is complete or not there: it is written under another name and renamed. Its name has the fingerprint of the model, the version of
OpenVINO, the version of this format, and ``int8`` for a quantized graph.
"""

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgpack
import numpy as np

from ml_backend.inference.contracts.contract import ImageInput, Outputs, Signature, Tensor
from ml_backend.inference.runtimes.openvino.tail import Tail

FORMAT = 1  # raise it when the conversion or the files change
GRAPH = ("model.xml", "model.bin")
TAIL = "tail.pb"
RECORD = "record.msgpack"
ABANDONED = 3600  # seconds after which an unfinished folder is deleted


class BrokenConversionError(Exception):
    """A converted model cannot be used; the message is one line."""


@dataclass(frozen=True)
class ConvertedModel:
    """A converted model.

    Attributes:
        folder: with its files.
        fingerprint: of the model's own files, 64 hex digits.
        signatures: of the model.
        signature: name of the converted one.
        input: its image input.
        comparison: a sentence on the comparison with TensorFlow.
        expected: outputs of TensorFlow for the first of the comparison images.
        tail: the part that stays with TensorFlow; None for none.
    """

    folder: Path
    fingerprint: str
    signatures: tuple[Signature, ...]
    signature: str
    input: ImageInput
    comparison: str
    expected: Outputs
    tail: Tail | None = None

    @property
    def graph(self) -> Path:
        """The graph in OpenVINO's format."""
        return self.folder / GRAPH[0]

    @classmethod
    def find(cls, cache_dir: Path, fingerprint: str, precision: str) -> Self | None:
        """Return the converted model of a fingerprint and a precision; None where there is none.

        Raises:
            BrokenConversionError: its files are damaged.
        """
        folder = folder_of(cache_dir, fingerprint, precision)
        if not folder.is_dir():
            return None
        try:
            record = msgpack.unpackb((folder / RECORD).read_bytes())
            if record["fingerprint"] != fingerprint:
                raise BrokenConversionError("it belongs to another model")
            for name, digest in record["files"].items():
                if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
                    raise BrokenConversionError(f"{name} is damaged")
            signatures = tuple(_signature(each) for each in record["signatures"])
            name, dtype, white, size = record["input"]
            return cls(
                folder,
                fingerprint,
                signatures,
                record["signature"],
                ImageInput(name, dtype, white, tuple(size) if size else None),
                record["comparison"],
                {output: _array(*each) for output, each in record["expected"].items()},
                Tail((folder / TAIL).read_bytes(), *record["tail"]) if record["tail"] else None,
            )
        except (OSError, ValueError, KeyError, TypeError, msgpack.UnpackException) as error:
            raise BrokenConversionError(f"{type(error).__name__}: {error}".splitlines()[0]) from None

    def complete(self, cache_dir: Path, precision: str) -> Self:
        """Write the record beside the graph, and move the folder to its place; another process may have been first.

        Raises:
            OSError: it cannot be written.
        """
        if self.tail is not None:
            (self.folder / TAIL).write_bytes(self.tail.graph)
        files = [*GRAPH, *([TAIL] if self.tail else [])]
        record = {
            "fingerprint": self.fingerprint,
            "files": {name: hashlib.sha256((self.folder / name).read_bytes()).hexdigest() for name in files},
            "signatures": [[each.name, _tensors(each.inputs), _tensors(each.outputs)] for each in self.signatures],
            "signature": self.signature,
            "input": list(self.input),
            "comparison": self.comparison,
            "tail": [dict(self.tail.inputs), dict(self.tail.outputs)] if self.tail else None,
            "expected": {name: _packed(np.asarray(each)) for name, each in self.expected.items()},
        }
        (self.folder / RECORD).write_bytes(msgpack.packb(record))
        place = folder_of(cache_dir, self.fingerprint, precision)
        if not place.is_dir():
            self.folder.rename(place)
        return type(self)(**{**vars(self), "folder": place})


def folder_of(cache_dir: Path, fingerprint: str, precision: str) -> Path:
    """Return the folder of a converted model, which may not be there. ``bf16`` is computed from the files of ``f32``."""
    import openvino

    version = openvino.__version__.partition("-")[0]
    quantized = "-int8" if precision == "int8" else ""
    return cache_dir / "openvino" / f"{fingerprint[:16]}-{version}-{FORMAT}{quantized}"


@contextmanager
def unfinished_folder(cache_dir: Path) -> Iterator[Path]:
    """Give a new folder for a conversion, which is deleted unless it is moved away; those that were abandoned are deleted too.

    Raises:
        OSError: it cannot be made.
    """
    parent = cache_dir / "openvino"
    parent.mkdir(parents=True, exist_ok=True)
    for old in parent.glob("*.tmp"):
        if time.time() - old.stat().st_mtime > ABANDONED:
            shutil.rmtree(old, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(dir=parent, suffix=".tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remember_refusal(cache_dir: Path, fingerprint: str, reason: str) -> None:
    """Record why a model cannot be converted, so that the next start does not try again.

    Raises:
        OSError: it cannot be written.
    """
    _refusal_of(cache_dir, fingerprint).write_text(json.dumps({"reason": reason}), encoding="utf-8")


def recall_refusal(cache_dir: Path, fingerprint: str) -> str | None:
    """Return why this version of OpenVINO cannot convert a model; None where that is not known."""
    return _noted(_refusal_of(cache_dir, fingerprint), "reason")


def _refusal_of(cache_dir: Path, fingerprint: str) -> Path:
    folder = folder_of(cache_dir, fingerprint, "f32")
    return folder.with_name(f"{folder.name}.refused.json")


def _noted(path: Path, key: str) -> str | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))[key]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return value if isinstance(value, str) else None


def remember_folder(cache_dir: Path, handle: str, folder: str) -> None:
    """Record the folder of a downloaded model, so that the next start needs no TensorFlow Hub to find it."""
    _note_of(cache_dir, handle).write_text(json.dumps({"folder": folder}), encoding="utf-8")


def recall_folder(cache_dir: Path, handle: str) -> str | None:
    """Return the folder of a downloaded model, if it is known and there."""
    folder = _noted(_note_of(cache_dir, handle), "folder")
    return folder if folder is not None and Path(folder).is_dir() else None


def _note_of(cache_dir: Path, handle: str) -> Path:
    return cache_dir / "openvino" / f"{hashlib.sha256(handle.encode()).hexdigest()[:32]}.json"


def _tensors(tensors: Any) -> dict[str, list[Any]]:
    return {name: [tensor.dtype, tensor.shape] for name, tensor in tensors.items()}


def _signature(record: Sequence[Any]) -> Signature:
    name, *sides = record
    inputs, outputs = (
        {key: Tensor(dtype, None if shape is None else tuple(shape)) for key, (dtype, shape) in side.items()}
        for side in sides
    )
    return Signature(name, inputs, outputs)


def _packed(array: Any) -> list[Any]:
    if array.dtype.kind in "OSU":
        return ["texts", list(array.shape), array.ravel().tolist()]
    return [array.dtype.str, list(array.shape), array.tobytes()]


def _array(dtype: str, shape: Sequence[int], values: Any) -> Any:
    if dtype == "texts":
        return np.array(values, object).reshape(shape)
    return np.frombuffer(values, dtype).reshape(shape)
