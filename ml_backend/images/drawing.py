"""Draws predictions on images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from ml_backend.images.captions import Rectangle, place_captions
from ml_backend.images.label_colours import text_on
from ml_backend.label_studio.regions import Region, label_of
from ml_backend.redaction import printable

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


@dataclass(frozen=True, slots=True)
class Box:
    """A box to draw.

    Attributes:
        edges: float32 [4], ``ymin, xmin, ymax, xmax``, normalized, in the displayed frame.
        caption: the text on it.
        colour: of edge and caption, as ``#rrggbb``.
    """

    edges: NDArray[np.float32]
    caption: str
    colour: str


def draw_boxes(pixels: NDArray[np.uint8], boxes: Sequence[Box]) -> Image.Image:
    """Draw boxes with captions on an image. Lines and letters grow with the image; captions avoid each other and small boxes.

    Args:
        pixels: uint8 [height, width, 3], RGB, in the displayed frame.
        boxes: drawn in their order, the last on top and with the first choice of a place for its caption.
    """
    image = Image.fromarray(pixels)
    if not boxes:
        return image
    canvas = ImageDraw.Draw(image)
    font = ImageFont.load_default(_letter_size(image))
    *_, letter_height = font.getbbox("Ág")
    pad = max(2, round(letter_height) // 6)
    texts = [_shortened(box.caption, font, image.width - 2 * pad) for box in boxes]
    sizes = [(font.getlength(text) + 2 * pad, letter_height + 2 * pad) for text in texts]
    edges = np.clip(np.stack([box.edges for box in boxes]), 0, 1)[:, [1, 0, 3, 2]]
    corners = np.round(edges * np.array(image.size * 2, np.float32)).astype(np.float32)
    line = max(2, max(image.size) // 320)
    rim = max(1, line // 3)
    for box, (left, top, right, bottom) in zip(boxes, corners.tolist(), strict=True):
        # The line lies inside the box, and a wide one would fill a small box. The rim parts it from a background of its colour.
        width = max(1, min(line, int(min(right - left, bottom - top)) // 5))
        canvas.rectangle((left - rim, top - rim, right + rim, bottom + rim), outline=text_on(box.colour), width=rim)
        canvas.rectangle((left, top, right, bottom), outline=box.colour, width=width)
    places = place_captions(corners, np.array(sizes, np.float32), image.size)
    for box, corner, place in zip(boxes, corners.tolist(), places, strict=True):
        if join := _join(Rectangle(*corner), place):
            canvas.line(join, fill=text_on(box.colour), width=line + 2 * rim)
            canvas.line(join, fill=box.colour, width=line)
    for box, text, place in zip(boxes, texts, places, strict=True):
        canvas.rectangle(place, fill=box.colour, outline=text_on(box.colour), width=rim)
        canvas.text((place.left + pad, place.top + pad), text, fill=text_on(box.colour), font=font)
    return image


def _join(box: Rectangle, caption: Rectangle) -> tuple[float, float, float, float] | None:
    """Return the ends of the shortest line between a box and its caption; None where they touch."""
    x = _nearest(box.left, box.right, caption.left, caption.right)
    y = _nearest(box.top, box.bottom, caption.top, caption.bottom)
    return None if x[0] == x[1] and y[0] == y[1] else (x[0], y[0], x[1], y[1])


def _nearest(low: float, high: float, other_low: float, other_high: float) -> tuple[float, float]:
    """Return the points of two intervals that are nearest to each other."""
    if high < other_low:
        return high, other_low
    if other_high < low:
        return low, other_high
    middle = (max(low, other_low) + min(high, other_high)) / 2
    return middle, middle


def draw_regions(pixels: NDArray[np.uint8], regions: Sequence[Region], colours: Mapping[str, str]) -> Image.Image:
    """Draw regions with label and score on an image.

    Args:
        pixels: uint8 [height, width, 3], RGB, in the displayed frame; the regions' percentages are relative to it.
        regions: drawn in the order of their scores, the best on top.
        colours: of the labels, as ``#rrggbb``.
    """
    boxes = []
    for region in sorted(regions, key=lambda region: region["score"]):
        value, label = region["value"], label_of(region)
        if label:  # the rectangle of a pair has none; its other half has
            edges = (value["y"], value["x"], value["y"] + value["height"], value["x"] + value["width"])
            caption = f"{label} {region['score']:.2f}"
            boxes.append(Box(np.array(edges, np.float32) / np.float32(100), caption, colours[label]))
    return draw_boxes(pixels, boxes)


def with_lines_below(image: Image.Image, lines: Sequence[str]) -> Image.Image:
    """Return an image with lines of text on white below it, each shortened to its width; without any lines, the image itself."""
    if not lines:
        return image
    size = _letter_size(image)
    font = ImageFont.load_default(size)
    step = size * 3 // 2
    taller = _taller(image, step * len(lines) + step // 2)
    canvas = ImageDraw.Draw(taller)
    for number, line in enumerate(lines):
        place = (step // 4, image.height + step // 4 + number * step)
        canvas.text(place, _shortened(line, font, image.width - step // 2), fill="black", font=font)
    return taller


def with_legend(image: Image.Image, entries: Sequence[tuple[str, str]]) -> Image.Image:
    """Return an image with a legend on white below it; without any entries, the image itself.

    Args:
        image: on which the colours are.
        entries: colour, as ``#rrggbb``, and meaning.
    """
    if not entries:
        return image
    size = _letter_size(image)
    font = ImageFont.load_default(size)
    step = size * 3 // 2
    places, x, row = [], step // 2, 0
    for _, meaning in entries:
        width = step + font.getlength(meaning)
        if x + width > image.width and x > step // 2:
            x, row = step // 2, row + 1
        places.append((x, image.height + step // 4 + row * step))
        x += round(width) + step
    taller = _taller(image, step * (row + 1) + step // 2)
    canvas = ImageDraw.Draw(taller)
    for (colour, meaning), (left, top) in zip(entries, places, strict=True):
        canvas.rectangle((left, top + size // 4, left + size - 1, top + size // 4 + size - 1), fill=colour)
        canvas.text((left + step, top), meaning, fill="black", font=font)
    return taller


def contact_sheet(
    images: Sequence[Image.Image | None], tile: tuple[int, int], columns: int, captions: Sequence[str] = ()
) -> Image.Image:
    """Arrange images in rows, each scaled to fit its tile.

    Args:
        images: in order; None leaves its tile grey.
        tile: width and height of each, in pixels.
        columns: the most images in a row.
        captions: a line below each image, if given.
    """
    gap = 8
    below = 16 if captions else 0
    step = (tile[0] + gap, tile[1] + gap + below)
    rows = -(-len(images) // columns)
    across = min(columns, len(images))
    sheet = Image.new("RGB", (across * step[0] - gap, rows * step[1] - gap), "white")
    canvas = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(11)
    for index, tile_image in enumerate(images):
        left, top = index % columns * step[0], index // columns * step[1]
        if tile_image is None:
            canvas.rectangle((left, top, left + tile[0], top + tile[1]), fill="#d0d0d0")
        else:
            fitted = ImageOps.contain(tile_image, tile, Image.Resampling.LANCZOS)
            sheet.paste(fitted, (left + (tile[0] - fitted.width) // 2, top + (tile[1] - fitted.height) // 2))
        if captions:
            canvas.text((left, top + tile[1] + 2), _shortened(captions[index], font, tile[0]), fill="black", font=font)
    return sheet


def _letter_size(image: Image.Image) -> int:
    return max(11, max(image.size) // 40)


def _taller(image: Image.Image, by: int) -> Image.Image:
    taller = Image.new("RGB", (image.width, image.height + by), "white")
    taller.paste(image)
    return taller


def _shortened(text: str, font: Font, width: int) -> str:
    """Return the end of a text that fits: names in one folder often begin alike."""
    text = printable(text.replace("\n", " "), 300)
    while len(text) > 1 and font.getlength(text) > width:
        text = "…" + text[2:]
    return text
