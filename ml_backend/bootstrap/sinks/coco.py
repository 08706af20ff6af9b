"""COCO's JSON format, as Label Studio exports it, but in the displayed frame.

Label Studio's converter (label-studio-sdk 2.1) is not used: it needs all files, ignores EXIF orientation when it reads the size of an
image, and holds all annotations in memory. The tests compare its boxes with these.
"""

import json
import shutil
import tempfile
from typing import Any

from typing_extensions import override

from ml_backend.bootstrap.sinks.pixel_boxes import boxes_of, label_names
from ml_backend.bootstrap.sinks.sink import FileSink, WriteContext, Writing, replaced


class Coco(FileSink):
    """One file of images, categories and annotations with scores, without skipped items.

    Category numbers start at 1, since many tools keep 0 for the background; Label Studio's start at 0.
    """

    form = "coco:FILE"
    holds_choices = False

    @override
    def write(self, context: WriteContext) -> Writing:
        numbers = {label: number for number, label in enumerate(label_names(self._options.controls), 1)}
        images = boxes = 0
        # The file has all images before the first annotation, so annotations are collected in another file.
        with replaced(self.output) as file, tempfile.TemporaryFile("w+", dir=self.output.parent) as annotations:
            file.write('{"images":[')
            while predicted := (yield):
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
                        _append(annotations, boxes, annotation)
            categories = [{"id": number, "name": label} for label, number in numbers.items()]
            file.write(f'\n],"categories":{json.dumps(categories)},"annotations":[')
            annotations.seek(0)
            shutil.copyfileobj(annotations, file)
            file.write("\n]}\n")
        return f"{boxes} boxes on {images} images in {self.output}"


def _append(file: Any, number: int, row: dict[str, Any]) -> None:
    file.write(("\n" if number == 1 else ",\n") + json.dumps(row, separators=(",", ":")))
