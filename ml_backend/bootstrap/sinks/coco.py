"""COCO's JSON format, as Label Studio exports it, but in the displayed frame.

Label Studio's converter (label-studio-sdk 2.1) is not used: it takes the size of a picture from its file without the EXIF orientation that
its percentages are of, has to have all files, and holds all annotations in memory. The tests compare the boxes with its own.
"""

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_backend.bootstrap.sinks.pixel_boxes import boxes_of, label_names
from ml_backend.bootstrap.sinks.sink import OneOutput, Predictions, replaced
from ml_backend.label_studio.controls.control import Control


class Coco(OneOutput):
    """One file of images, categories and annotations with scores.

    Category numbers start at 1, since many tools keep 0 for the background; Label Studio's start at 0.
    """

    def __init__(self, path: Path, controls: Sequence[Control]) -> None:
        super().__init__(path)
        self._labels = label_names(controls)

    def write(self, predictions: Predictions) -> str:
        """Write all pictures; those that were left alone are not in it."""
        numbers = {label: number for number, label in enumerate(self._labels, 1)}
        images = boxes = 0
        # Annotations come after all images in the file, so they wait in another.
        with replaced(self.output) as file, tempfile.TemporaryFile("w+", dir=self.output.parent) as waiting:
            file.write('{"images":[')
            for predicted in predictions:
                for image in predicted.images:
                    images += 1
                    _append(
                        file,
                        images,
                        {"id": images, "width": image.width, "height": image.height, "file_name": image.name},
                    )
                    for box in boxes_of(image):
                        boxes += 1
                        edges = [round(edge, 3) for edge in box[2:]]
                        annotation = {
                            "id": boxes,
                            "image_id": images,
                            "category_id": numbers[box.label],
                            "bbox": edges,
                            "area": round(box.width * box.height, 3),
                            "segmentation": [],
                            "iscrowd": 0,
                            "score": box.score,
                        }
                        _append(waiting, boxes, annotation)
            categories = [{"id": number, "name": label} for label, number in numbers.items()]
            file.write(f'\n],"categories":{json.dumps(categories)},"annotations":[')
            waiting.seek(0)
            shutil.copyfileobj(waiting, file)
            file.write("\n]}\n")
        return f"{boxes} boxes on {images} pictures in {self.output}"


def _append(file: Any, number: int, row: dict[str, Any]) -> None:
    file.write(("\n" if number == 1 else ",\n") + json.dumps(row, separators=(",", ":")))
