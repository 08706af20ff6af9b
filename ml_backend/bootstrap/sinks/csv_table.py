"""A CSV table with a row for each box."""

import csv

from ml_backend.bootstrap.sinks.pixel_boxes import boxes_of
from ml_backend.bootstrap.sinks.sink import OneOutput, Predictions, replaced
from ml_backend.redaction import printable

HEADER = ("image", "label", "score", "left", "top", "width", "height", "image_width", "image_height")


class Table(OneOutput):
    """Boxes in pixels of the displayed picture; a picture without any has a row with the image alone."""

    def write(self, predictions: Predictions) -> str:
        """Write all pictures; those that were left alone are not in it."""
        boxes = 0
        with replaced(self.output, newline="") as file:
            rows = csv.writer(file)
            rows.writerow(HEADER)
            for predicted in predictions:
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
