"""Contact sheets: images with their boxes drawn and their choices below, for people to look at before or after a long run."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from typing_extensions import override

from ml_backend.bootstrap.items import PredictedItem
from ml_backend.bootstrap.sinks.pixel_boxes import label_names
from ml_backend.bootstrap.sinks.sink import FileSink, SinkOptions, WriteContext, Writing, replaced_folder
from ml_backend.errors import PrelabelError
from ml_backend.images.decoding.pool import DecoderPool, Limits
from ml_backend.images.drawing import contact_sheet, draw_regions
from ml_backend.images.fetch import ImageFetcher
from ml_backend.images.label_colours import colours_of
from ml_backend.images.references import parse_reference, readable
from ml_backend.label_studio.connections import LabelStudios
from ml_backend.label_studio.regions import choices_in, label_of, rectangles_in, texts_of
from ml_backend.label_studio.tasks import task_id

MAX_IMAGES = 240
ON_A_SHEET = 24
COLUMNS = 6
TILE = (320, 240)


class Preview(FileSink):
    """Sheets of 24 images each, for at most 240 images spread evenly over the job; images are fetched again."""

    form = "preview:DIR"
    copies_images = True
    contents = ("sheet-*.jpg",)

    @override
    def write(self, context: WriteContext) -> Writing:
        seen = drawn = 0
        sheet: list[PredictedItem] = []
        with replaced_folder(self.output) as folder:
            while predicted := (yield):
                if not predicted.images:
                    continue
                if _is_chosen(seen, max(1, context.total)):
                    drawn += 1
                    sheet.append(predicted)
                seen += 1
                if len(sheet) == ON_A_SHEET:
                    self._draw(sheet, drawn, folder)
                    sheet = []
            if sheet:
                self._draw(sheet, drawn, folder)
        return f"{drawn} images drawn on contact sheets in {self.output}"

    def _draw(self, sheet: Sequence[PredictedItem], drawn: int, folder: Path) -> None:
        draw_sheet(sheet, folder / f"sheet-{-(-drawn // ON_A_SHEET):02d}.jpg", self._options)


def _is_chosen(number: int, total: int) -> bool:
    return number * MAX_IMAGES // total != (number - 1) * MAX_IMAGES // total


def draw_sheet(chosen: Sequence[PredictedItem], path: Path, options: SinkOptions) -> None:
    """Draw one contact sheet of the first image of each item; images that cannot be fetched again stay blank.

    Args:
        chosen: the items.
        path: of the sheet.
        options: the settings for the image fetcher and the decoder, and the controls, whose labels have colours.
    """
    images = asyncio.run(_drawn(chosen, options))
    captions = [f"{predicted.item.name}  {caption_of(predicted)}" for predicted in chosen]
    contact_sheet(images, TILE, COLUMNS, captions).save(path, quality=88)


def caption_of(predicted: PredictedItem) -> str:
    """Return the score of the prediction, and the choices for the image that is drawn, by control; "(nothing)" without any region.

    Without regions, the score says how probable it is that nothing is missing, and a large one would look like that of a box.
    """
    if predicted.prediction is None:
        return ""
    if not predicted.prediction["result"]:
        return "(nothing)"
    regions = choices_in(predicted.images[0].regions)
    chosen = [f"{region['from_name']}: {', '.join(texts_of(region))}" for region in regions]
    return "  ".join([f"{predicted.prediction['score']:.2f}", *chosen])


async def _drawn(chosen: Sequence[PredictedItem], options: SinkOptions) -> list[Image.Image | None]:
    settings = options.settings
    shown = (label_of(region) for predicted in chosen for region in rectangles_in(predicted.images[0].regions))
    colours = colours_of(shown, label_names(options.controls))
    home = LabelStudios.from_settings(settings).configured

    async def one(fetcher: ImageFetcher, decoders: DecoderPool, predicted: PredictedItem) -> Image.Image | None:
        image = predicted.images[0]
        number = task_id(predicted.item.task)
        try:
            reference = readable(parse_reference(image.file or image.value), home, number)
            fetched = await fetcher.fetch(reference, home, number)
            if fetched is None:
                return None
            pixels = decoders.decode(fetched.data, max_side=max(TILE)).pixels
        except PrelabelError:
            return None
        return draw_regions(np.asarray(pixels), rectangles_in(image.regions), colours)

    with DecoderPool(Limits.from_settings(settings)) as decoders:
        async with ImageFetcher.from_settings(settings) as fetcher:
            return await asyncio.gather(*(one(fetcher, decoders, predicted) for predicted in chosen))
