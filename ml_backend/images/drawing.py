"""Draws predictions on images."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from ml_backend.label_studio.regions import Region, label_of
from ml_backend.redaction import printable

# Twelve colours that stay apart from each other and from most photographs, each dark enough for white text.
PALETTE = (
    "#d62839", "#1d6fd1", "#1b8a3d", "#8e3bc4", "#c2570c", "#0b7f8a",
    "#b5179e", "#5b6b00", "#3d3fbf", "#a0522d", "#00704a", "#7a1f3d",
)  # fmt: skip


def colour_of(label: str) -> str:
    """Return the colour of a label, the same in every image."""
    return PALETTE[zlib.crc32(label.encode()) % len(PALETTE)]


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
    """Draw boxes with captions on an image.

    Args:
        pixels: uint8 [height, width, 3], RGB, in the displayed frame.
        boxes: drawn in their order, the last on top.
    """
    image = Image.fromarray(pixels)
    canvas = ImageDraw.Draw(image)
    line = max(2, max(image.size) // 320)
    for box in boxes:
        top, left, bottom, right = (float(edge) for edge in np.clip(box.edges, 0, 1))
        corner = (round(left * image.width), round(top * image.height))
        opposite = (round(right * image.width), round(bottom * image.height))
        canvas.rectangle((*corner, *opposite), outline=box.colour, width=line)
        _caption(image, corner, box.caption, box.colour)
    return image


def draw_regions(pixels: NDArray[np.uint8], regions: Sequence[Region]) -> Image.Image:
    """Draw regions with label and score on an image.

    Args:
        pixels: uint8 [height, width, 3], RGB, in the displayed frame; the regions' percentages are relative to it.
        regions: drawn in the order of their scores, the best on top.
    """
    boxes = []
    for region in sorted(regions, key=lambda region: region["score"]):
        value, label = region["value"], label_of(region)
        if label:  # the rectangle of a pair has none; its other half has
            edges = (value["y"], value["x"], value["y"] + value["height"], value["x"] + value["width"])
            caption = f"{label} {region['score']:.2f}"
            boxes.append(Box(np.array(edges, np.float32) / np.float32(100), caption, colour_of(label)))
    return draw_boxes(pixels, boxes)


def with_lines_below(image: Image.Image, lines: Sequence[str]) -> Image.Image:
    """Return an image with lines of text on white below it, each shortened to its width; without any lines, the image itself."""
    if not lines:
        return image
    size = max(11, max(image.size) // 45)
    font = ImageFont.load_default(size=size)
    step = size * 3 // 2
    taller = Image.new("RGB", (image.width, image.height + step * len(lines) + step // 2), "white")
    taller.paste(image)
    canvas = ImageDraw.Draw(taller)
    for number, line in enumerate(lines):
        place = (step // 4, image.height + step // 4 + number * step)
        canvas.text(place, _shortened(line, font, image.width - step // 2), fill="black", font=font)
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
    font = ImageFont.load_default(size=11)
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


def _shortened(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: int) -> str:
    """Return the end of a text that fits: names in one folder often begin alike."""
    text = printable(text.replace("\n", " "), 300)
    while font.getlength(text) > width:
        text = "…" + text[2:]
    return text


def _caption(image: Image.Image, corner: tuple[float, float], text: str, colour: str) -> None:
    """Write ``text`` above a box's top left corner, or inside the box at the upper edge of the image; never beyond the right edge."""
    canvas = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=max(11, max(image.size) // 45))
    _, _, width, height = canvas.textbbox((0, 0), text, font=font)
    pad = max(2, int(height) // 5)
    left = max(0.0, min(corner[0], image.width - width - 2 * pad))
    top = corner[1] - height - 2 * pad
    if top < 0:
        top = corner[1]
    canvas.rectangle((left, top, left + width + 2 * pad, top + height + 2 * pad), fill=colour)
    canvas.text((left + pad, top + pad), text, fill="white", font=font)
