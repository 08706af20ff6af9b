"""Draws the scenes of the demo, kites and balloons over a meadow with boxes, with the ground truth."""

import io
import math
import random
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFilter

SIZE = (960, 640)  # width and height in pixels
OVERSAMPLING = 3
SKY, HORIZON = (206, 224, 238), (243, 240, 228)
MEADOW = (176, 190, 160)
VIVID = ((214, 40, 57), (29, 111, 209), (240, 150, 20), (142, 59, 196), (11, 140, 120), (220, 40, 140))
EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True)
class DrawnObject:
    """A drawn object: its Open Images class name and its bounding box in pixels."""

    class_name: str
    left: float
    top: float
    right: float
    bottom: float


def draw_scene(seed: int) -> tuple[Image.Image, list[DrawnObject]]:
    """Draw one scene of :data:`SIZE` with objects that do not touch; the same seed draws the same scene."""
    choose = random.Random(seed)  # noqa: S311 - it places objects; nothing is secret
    image = _landscape(choose)
    canvas = ImageDraw.Draw(image)
    objects: list[DrawnObject] = []
    for class_name in choose.sample(["Balloon"] * 3 + ["Kite"] * 3 + ["Box"] * 2, choose.randint(4, 7)):
        for _ in range(50):
            candidate = _place(choose, class_name)
            if not any(_near(candidate, other) for other in objects):
                objects.append(candidate)
                _draw(canvas, candidate, choose.choice(VIVID))
                break
    return image.resize(SIZE, Image.Resampling.LANCZOS).filter(ImageFilter.GaussianBlur(0.6)), objects


def encode(image: Image.Image, *, orientation: int = 1) -> bytes:
    """Encode as JPEG. With an EXIF ``orientation`` of 6 the pixels are stored rotated, as many phones do."""
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    stored = image.transpose(Image.Transpose.ROTATE_90) if orientation == 6 else image
    buffer = io.BytesIO()
    stored.save(buffer, "JPEG", quality=90, exif=exif)
    return buffer.getvalue()


def _landscape(choose: random.Random) -> Image.Image:
    width, height = SIZE[0] * OVERSAMPLING, SIZE[1] * OVERSAMPLING
    column = Image.new("RGB", (1, height))
    for y in range(height):
        share = y / height
        column.putpixel((0, y), tuple(round(a + (b - a) * share) for a, b in zip(SKY, HORIZON, strict=True)))
    image = column.resize((width, height))
    canvas = ImageDraw.Draw(image)
    for layer, shade in enumerate((1.08, 1.0, 0.92)):
        phase, base = choose.uniform(0, 6), height * (0.66 + 0.09 * layer)
        hills = [
            (x, base + height * 0.03 * math.sin(phase + x / width * (4 + 2 * layer))) for x in range(0, width + 1, 12)
        ]
        colour = tuple(min(255, round(channel * shade)) for channel in MEADOW)
        canvas.polygon([(0, height), *hills, (width, height)], fill=colour)
    return image


def _place(choose: random.Random, class_name: str) -> DrawnObject:
    width, height = SIZE
    if class_name == "Box":
        w, h = choose.uniform(70, 150), choose.uniform(50, 110)
        top = choose.uniform(height * 0.74, height - h - 10)
    else:
        w = choose.uniform(60, 130)
        h = w * choose.uniform(1.15, 1.4)
        top = choose.uniform(20, height * 0.62 - h)
    left = choose.uniform(15, width - w - 15)
    return DrawnObject(class_name, left, top, left + w, top + h)


def _near(a: DrawnObject, b: DrawnObject, gap: float = 25) -> bool:
    return (
        a.left < b.right + gap
        and b.left < a.right + gap
        and a.top < b.bottom + gap + 40
        and b.top < a.bottom + gap + 40
    )


def _draw(canvas: ImageDraw.ImageDraw, thing: DrawnObject, colour: tuple[int, int, int]) -> None:
    left, top, right, bottom = (edge * OVERSAMPLING for edge in (thing.left, thing.top, thing.right, thing.bottom))
    middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
    string = (120, 120, 120)
    match thing.class_name:
        case "Balloon":
            canvas.line((middle_x, bottom, middle_x, bottom + 40 * OVERSAMPLING), fill=string, width=OVERSAMPLING)
            canvas.ellipse((left, top, right, bottom), fill=colour)
        case "Kite":
            canvas.line((middle_x, bottom, middle_x + 30, bottom + 40 * OVERSAMPLING), fill=string, width=OVERSAMPLING)
            canvas.polygon([(middle_x, top), (right, middle_y), (middle_x, bottom), (left, middle_y)], fill=colour)
        case _:
            canvas.rectangle((left, top, right, bottom), fill=colour)
