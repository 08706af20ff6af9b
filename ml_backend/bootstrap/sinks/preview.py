"""Contact sheets: pictures with their boxes drawn, for people to look at before they start a long run, or after one."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ml_backend.bootstrap.checkpoint import blocks
from ml_backend.bootstrap.items import Predicted
from ml_backend.bootstrap.sinks.sink import OneOutput, Predictions, replaced_folder
from ml_backend.errors import PrelabelError
from ml_backend.images.decoding.pool import DecoderPool, Limits
from ml_backend.images.drawing import contact_sheet, draw_regions
from ml_backend.images.fetch import ImageFetcher
from ml_backend.images.references import parse_reference, readable
from ml_backend.label_studio.connections import LabelStudios
from ml_backend.label_studio.tasks import task_id
from ml_backend.settings import Settings

MAX_IMAGES = 240  # pictures
ON_A_SHEET = 24
COLUMNS = 6
TILE = (320, 240)


class Preview(OneOutput):
    """Sheets of 24 pictures each, for at most 240 pictures spread evenly over the job; several fetched at once, and drawn anew."""

    def __init__(self, path: Path, settings: Settings) -> None:
        super().__init__(path)
        self._settings = settings

    def write(self, predictions: Predictions) -> str:
        """Draw the sheets."""
        total = max(1, len(predictions))
        chosen = (each for place, each in enumerate(filter(_has_images, predictions)) if _is_chosen(place, total))
        drawn = 0
        with replaced_folder(self.output) as folder:
            for number, sheet in enumerate(blocks(chosen, ON_A_SHEET), 1):
                draw_sheet(sheet, folder / f"sheet-{number:02d}.jpg", self._settings)
                drawn += len(sheet)
        return f"{drawn} pictures drawn on contact sheets in {self.output}"


def _has_images(predicted: Predicted) -> bool:
    return bool(predicted.images)


def _is_chosen(place: int, total: int) -> bool:
    return place * MAX_IMAGES // total != (place - 1) * MAX_IMAGES // total


def draw_sheet(chosen: Sequence[Predicted], path: Path, settings: Settings) -> None:
    """Draw one contact sheet of the first picture of each item; one that cannot be fetched again is left blank."""
    pictures = asyncio.run(_drawn(chosen, settings))
    captions = [f"{predicted.item.name}  {_score(predicted)}" for predicted in chosen]
    contact_sheet(pictures, TILE, COLUMNS, captions).save(path, quality=88)


def _score(predicted: Predicted) -> str:
    return "" if predicted.prediction is None else f"{predicted.prediction['score']:.2f}"


async def _drawn(chosen: Sequence[Predicted], settings: Settings) -> list[Image.Image | None]:
    home = LabelStudios.from_settings(settings).configured

    async def one(fetcher: ImageFetcher, decoders: DecoderPool, predicted: Predicted) -> Image.Image | None:
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
        return draw_regions(np.asarray(pixels), image.regions)

    with DecoderPool(Limits.from_settings(settings)) as decoders:
        async with ImageFetcher.from_settings(settings) as fetcher:
            return await asyncio.gather(*(one(fetcher, decoders, predicted) for predicted in chosen))
