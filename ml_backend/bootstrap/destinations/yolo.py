"""YOLO's layout: a text file for each picture, a line for each box, and beside it links to the pictures of this machine.

Label Studio's converter (label-studio-sdk 2.1) is not used: it names label files by the last part of the path alone, so that two pictures
of one name in two folders share one, and has to have all files. The tests compare the boxes with its own.
"""

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from ml_backend.bootstrap.destinations.destination import Predictions, replaced_folder
from ml_backend.bootstrap.destinations.geometry import boxes_of, label_names
from ml_backend.bootstrap.items import PredictedPicture
from ml_backend.labels import Control

LONGEST_NAME = 200  # of a file, in bytes; file systems take 255


class Yolo:
    """A folder with ``classes.txt``, ``notes.json``, ``data.yaml``, ``labels/`` and ``images/``."""

    def __init__(self, path: Path, controls: Sequence[Control]) -> None:
        self.output = path
        self._labels = label_names(controls)

    def write(self, predictions: Predictions) -> str:
        """Write all pictures; those that were left alone are not in it. A picture without boxes has an empty file."""
        numbers = {label: number for number, label in enumerate(self._labels)}
        images = boxes = 0
        with replaced_folder(self.output) as folder:
            (folder / "labels").mkdir()
            (folder / "images").mkdir()
            for predicted in predictions:
                for picture in predicted.pictures:
                    lines = [
                        f"{numbers[box.label]} {(box.left + box.width / 2) / picture.width:.6f} "
                        f"{(box.top + box.height / 2) / picture.height:.6f} "
                        f"{box.width / picture.width:.6f} {box.height / picture.height:.6f}\n"
                        for box in boxes_of(picture)
                    ]
                    _write_one(folder, picture, lines)
                    images += 1
                    boxes += len(lines)
            self._write_classes(folder)
        return f"{boxes} boxes on {images} pictures in {self.output}"

    def _write_classes(self, folder: Path) -> None:
        (folder / "classes.txt").write_text("".join(f"{label}\n" for label in self._labels), encoding="utf-8")
        categories = [{"id": number, "name": label} for number, label in enumerate(self._labels)]
        (folder / "notes.json").write_text(json.dumps({"categories": categories}, indent=2), encoding="utf-8")
        # JSON strings are YAML too.
        names = "".join(f"  {number}: {json.dumps(label)}\n" for number, label in enumerate(self._labels))
        (folder / "data.yaml").write_text(f"path: .\ntrain: images\nval: images\nnames:\n{names}", encoding="utf-8")


def _write_one(folder: Path, picture: PredictedPicture, lines: list[str]) -> None:
    name = _name_of(picture)
    number = 1
    labels = folder / "labels" / name.with_suffix(".txt")
    while labels.exists():  # a.jpg and a.png, or two addresses that end alike
        number += 1
        name = name.with_stem(f"{name.stem.removesuffix(f'-{number - 1}')}-{number}")
        labels = folder / "labels" / name.with_suffix(".txt")
    labels.parent.mkdir(parents=True, exist_ok=True)
    labels.write_text("".join(lines), encoding="utf-8")
    if picture.file is not None:
        link = folder / "images" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(picture.file)


def _name_of(picture: PredictedPicture) -> PurePosixPath:
    """Return the path below ``labels/``, with the picture's suffix: its path in its folder, or the last part of its address."""
    if picture.file is not None:
        return PurePosixPath(picture.name)
    if picture.value.startswith("data:"):
        return PurePosixPath("inline.png")
    parts = urlsplit(picture.value)
    local = parse_qs(parts.query).get("d", [""])[0]
    last = PurePosixPath(local or unquote(parts.path)).name or "picture"
    name = PurePosixPath(last.encode()[-LONGEST_NAME:].decode(errors="ignore").replace("\0", ""))
    return name if name.suffix else name.with_suffix(".jpg")
