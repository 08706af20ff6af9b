"""A CSV table with a row for each box, or with a row for each image where there are only choices."""

import csv
from collections.abc import Sequence

from typing_extensions import override

from ml_backend.bootstrap.items import PredictedImage
from ml_backend.bootstrap.sinks.pixel_boxes import PixelBox, boxes_of, label_names
from ml_backend.bootstrap.sinks.sink import FileSink, WriteContext, Writing, replaced
from ml_backend.label_studio.controls.choices import ChoicesControl
from ml_backend.label_studio.controls.control import Control
from ml_backend.label_studio.geometry import DECIMALS
from ml_backend.label_studio.regions import choices_in, texts_of
from ml_backend.redaction import printable

IMAGE = ("image",)
BOX = ("label", "score", "left", "top", "width", "height")
SIZE = ("image_width", "image_height")
BETWEEN_CHOICES = "; "


class CsvTable(FileSink):
    """Boxes in pixels of the displayed image, choices and their scores, without skipped items.

    An image without boxes has a row without a label. Each row has the choices of its image: the shown ones in a column named like the
    control, and the score of each in a column ``<control>: <choice>``. Where the label config has only choices, each image has one row,
    without the columns of boxes.
    """

    form = "csv:FILE"
    shows_scores = True

    @override
    def write(self, context: WriteContext) -> Writing:
        images = boxes = 0
        has_boxes = bool(label_names(self._options.controls))
        controls = _choices_of(self._options.controls)
        with replaced(self.output, newline="") as file:
            rows = csv.writer(file)
            rows.writerow(header_of(self._options.controls))
            while predicted := (yield):
                for image in predicted.images:
                    name = printable(image.name, len(image.name))
                    chosen = _chosen(image, controls)
                    found: list[PixelBox | None] = list(boxes_of(image))
                    for box in found or [None]:
                        cells = _box_cells(box) if has_boxes else []
                        rows.writerow([name, *cells, image.width, image.height, *chosen])
                    images += 1
                    boxes += len(found)
        written = [f"{boxes} boxes"] * has_boxes + [f"the choices of {images} images"] * bool(controls)
        return f"{' and '.join(written)} in {self.output}"


def header_of(controls: Sequence[Control]) -> list[str]:
    """Return the names of the columns. A control whose name another column has is called ``<control> (choices)``."""
    header = [*IMAGE, *(BOX if label_names(controls) else ()), *SIZE]
    for control in _choices_of(controls):
        name = printable(control.from_name, len(control.from_name))
        header.append(f"{name} (choices)" if name in header else name)
        header += [f"{name}: {printable(value, len(value))}" for value in _values(control)]
    return header


def _choices_of(controls: Sequence[Control]) -> list[ChoicesControl]:
    return [control for control in controls if isinstance(control, ChoicesControl)]


def _values(control: ChoicesControl) -> list[str]:
    """Return the choices of a control, each once, in the order of the label config."""
    return list(dict.fromkeys(label.value for label in control.labels))


def _box_cells(box: PixelBox | None) -> list[object]:
    if box is None:
        return [""] * len(BOX)
    return [box.label, box.score, *(f"{edge:.2f}" for edge in box[2:])]


def _chosen(image: PredictedImage, controls: Sequence[ChoicesControl]) -> list[object]:
    """Return the cells of all controls; those of a control of another image, or one that is not served, are empty."""
    regions = choices_in(image.regions)
    cells: list[object] = []
    for control in controls:
        texts = [text for region in regions if region["from_name"] == control.from_name for text in texts_of(region)]
        scores = image.choice_scores.get(control.from_name, {})
        cells.append(BETWEEN_CHOICES.join(printable(text, len(text)) for text in texts))
        cells += [round(scores[value], DECIMALS) if value in scores else "" for value in _values(control)]
    return cells
