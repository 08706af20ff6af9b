"""YOLO's layout: a text file for each image with a line for each box, and links to the images of this machine.

Label Studio's converter (label-studio-sdk 2.1) is not used: it needs all files, and it names label files by the last part of the path,
so that two images of the same name in two folders share one. The tests compare its boxes with these.
"""

import json
from collections import Counter
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from typing_extensions import override

from ml_backend.bootstrap.items import PredictedImage
from ml_backend.bootstrap.sinks.pixel_boxes import boxes_of, label_names
from ml_backend.bootstrap.sinks.sink import FileSink, WriteContext, Writing, replaced_folder
from ml_backend.redaction import printable

MAX_NAME_LENGTH = 200  # of a file, in bytes; file systems take 255


class Yolo(FileSink):
    """A folder with ``classes.txt``, ``notes.json``, ``data.yaml``, ``labels/`` and ``images/``, without skipped items.

    An image without boxes has an empty file.
    """

    form = "yolo:DIR"
    holds_choices = False
    copies_images = True
    contents = ("labels", "images", "classes.txt", "notes.json", "data.yaml")

    @override
    def write(self, context: WriteContext) -> Writing:
        numbers = {label: number for number, label in enumerate(label_names(self._options.controls))}
        images = boxes = 0
        with replaced_folder(self.output) as folder:
            (folder / "labels").mkdir()
            (folder / "images").mkdir()
            names = _Names(folder)
            while predicted := (yield):
                for image in predicted.images:
                    lines = [
                        f"{numbers[box.label]} {(box.left + box.width / 2) / image.width:.6f} "
                        f"{(box.top + box.height / 2) / image.height:.6f} "
                        f"{box.width / image.width:.6f} {box.height / image.height:.6f}\n"
                        for box in boxes_of(image)
                    ]
                    name = names.name_for(image)
                    labels = folder / "labels" / name.with_suffix(".txt")
                    labels.parent.mkdir(parents=True, exist_ok=True)
                    labels.write_text("".join(lines), encoding="utf-8")
                    if image.file is not None:
                        link = folder / "images" / name
                        link.parent.mkdir(parents=True, exist_ok=True)
                        link.symlink_to(image.file)
                    images += 1
                    boxes += len(lines)
            _write_classes(folder, list(numbers))
        return f"{boxes} boxes on {images} images in {self.output}"


class _Names:
    """Gives each image a unique name below ``labels/`` and ``images/``."""

    def __init__(self, folder: Path) -> None:
        self._labels = folder / "labels"
        self._numbers: Counter[PurePosixPath] = Counter()  # the suffixes used so far, by wanted name

    def name_for(self, image: PredictedImage) -> PurePosixPath:
        """Return the image's path in its folder, or the last part of its address, with a number if that name is taken."""
        wanted = self._beside_files(_shortened(_name_of(image)))
        name = wanted
        while self._is_taken(name):  # a.jpg and a.png, or two addresses that end alike
            self._numbers[wanted] += 1
            name = wanted.with_stem(f"{wanted.stem}-{self._numbers[wanted] + 1}")
        return name

    def _is_taken(self, name: PurePosixPath) -> bool:
        return (self._labels / name.with_suffix(".txt")).exists()

    def _beside_files(self, name: PurePosixPath) -> PurePosixPath:
        """Return a name whose folders are no files: an image ``d.jpg`` and a folder ``d.txt`` want the same name."""
        folder = PurePosixPath()
        for part in name.parent.parts:
            folder /= part
            while (self._labels / folder).is_file():
                folder = folder.with_name(folder.name + "_")
        return folder / name.name


def _write_classes(folder: Path, labels: list[str]) -> None:
    (folder / "classes.txt").write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
    categories = [{"id": number, "name": label} for number, label in enumerate(labels)]
    (folder / "notes.json").write_text(json.dumps({"categories": categories}, indent=2), encoding="utf-8")
    # A JSON string is valid YAML.
    names = "".join(f"  {number}: {json.dumps(label)}\n" for number, label in enumerate(labels))
    (folder / "data.yaml").write_text(f"path: .\ntrain: images\nval: images\nnames:\n{names}", encoding="utf-8")


def _name_of(image: PredictedImage) -> PurePosixPath:
    if image.file is not None:
        return PurePosixPath(printable(image.name, len(image.name)))
    if image.value.startswith("data:"):
        return PurePosixPath(f"{image.name}.png")
    path = image.value
    if path.startswith(("http://", "https://", "/")):
        parts = urlsplit(path)
        path = parse_qs(parts.query).get("d", [""])[0] or unquote(parts.path)
    name = PurePosixPath(PurePosixPath(path.replace("\0", "")).name or "picture")
    return name if name.suffix else name.with_suffix(".jpg")


def _shortened(name: PurePosixPath) -> PurePosixPath:
    """Return a name whose parts fit a file system, with room for a number."""
    suffix = name.suffix[:10]
    folders = [_first_bytes(part) for part in name.parent.parts]
    return PurePosixPath(*folders, _first_bytes(name.stem) + suffix)


def _first_bytes(text: str) -> str:
    return text.encode()[:MAX_NAME_LENGTH].decode(errors="ignore")
