"""A CSV table with a row for each box."""

import csv

from typing_extensions import override

from ml_backend.bootstrap.sinks.pixel_boxes import boxes_of
from ml_backend.bootstrap.sinks.sink import FileSink, WriteContext, Writing, replaced
from ml_backend.redaction import printable

HEADER = ("image", "label", "score", "left", "top", "width", "height", "image_width", "image_height")


class CsvTable(FileSink):
    """Boxes in pixels of the displayed image, without skipped items; an image without boxes has a row without a label."""

    form = "csv:FILE"

    @override
    def write(self, context: WriteContext) -> Writing:
        boxes = 0
        with replaced(self.output, newline="") as file:
            rows = csv.writer(file)
            rows.writerow(HEADER)
            while predicted := (yield):
                for image in predicted.images:
                    name = printable(image.name, len(image.name))
                    found = list(boxes_of(image))
                    for box in found:
                        edges = [f"{edge:.2f}" for edge in box[2:]]
                        rows.writerow([name, box.label, box.score, *edges, image.width, image.height])
                    if not found:
                        rows.writerow([name, "", "", "", "", "", "", image.width, image.height])
                    boxes += len(found)
        return f"{boxes} boxes in {self.output}"
