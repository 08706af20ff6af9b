"""Draws the pictures that the tests' own detector is trained and measured on: the scenes of the demo, spoiled as photographs are.

Fog, blur, noise and cut objects make a detector unsure. So do the decoys: unlabelled shapes between a kite and a balloon, or a balloon and a box.
"""

import functools
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from samples import encoded

from ml_backend.demo import scenes
from ml_backend.demo.scenes import VIVID, DrawnObject, draw_scene

SIZE = (480, 320)  # width and height in pixels
CLASSES = ("Kite", "Balloon", "Box")
HELD_OUT = 10_000  # first seed of the pictures that the detector is not trained on

FOG = (205, 212, 216)
VISIBLE = 0.5  # share of an object's area that has to be in the picture for it to count
BETWEEN = (
    1.35,
    3.6,
)  # exponents of the superellipses of decoys; that of a diamond is 1, of an ellipse 2, and that of a rectangle is infinite


@dataclass(frozen=True)
class Picture:
    """A picture with its ground truth.

    Attributes:
        name: of its file.
        image: of :data:`SIZE`.
        objects: with edges in pixels.
    """

    name: str
    image: Image.Image
    objects: Sequence[DrawnObject]

    def file(self) -> bytes:
        """Return the bytes of a JPEG file."""
        return encoded(self.image, "JPEG", quality=92)

    def truth(self) -> dict[str, NDArray[np.float32]]:
        """Return the boxes by class: float32 [N, 4], ymin, xmin, ymax, xmax, normalized."""
        width, height = SIZE
        rows = {name: [each for each in self.objects if each.class_name == name] for name in CLASSES}
        return {
            name: np.array([(o.top / height, o.left / width, o.bottom / height, o.right / width) for o in found], np.float32)
            for name, found in rows.items()
            if found
        }  # fmt: skip


def held_out(count: int) -> list[Picture]:
    """Draw pictures that the detector was not trained on; always the same."""
    return [_held_out(number) for number in range(count)]


@functools.cache
def _held_out(number: int) -> Picture:
    (picture,) = draw_pictures(HELD_OUT + number, 1)
    return picture


def draw_pictures(seed: int, count: int) -> Iterable[Picture]:
    """Draw one scene and spoil it in several ways; the same seed draws the same pictures."""
    choose = random.Random(seed)  # noqa: S311 - it draws pictures; nothing is secret
    scene, objects = draw_scene(seed)
    for _ in range(choose.randint(0, 2)):
        _add_decoy(choose, scene, objects)
    for number in range(count):
        yield _spoiled(choose, Picture(f"{seed}-{number}.jpg", scene, objects))


def coco_file(pictures: Sequence[Picture], file: Path) -> dict[str, int]:
    """Write the ground truth in COCO's format, and return the image ids by name."""
    ids = {picture.name: number for number, picture in enumerate(pictures, 1)}
    annotations: list[dict[str, object]] = []
    for picture in pictures:
        for each in picture.objects:
            width, height = each.right - each.left, each.bottom - each.top
            about = {"id": len(annotations) + 1, "image_id": ids[picture.name], "iscrowd": 0, "area": width * height}
            place = {"category_id": CLASSES.index(each.class_name) + 1, "bbox": [each.left, each.top, width, height]}
            annotations.append(about | place)
    images = [{"id": number, "file_name": name, "width": SIZE[0], "height": SIZE[1]} for name, number in ids.items()]
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES, 1)]
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return ids


def _add_decoy(choose: random.Random, scene: Image.Image, objects: Sequence[DrawnObject]) -> None:
    width, height = choose.uniform(60, 130), choose.uniform(60, 130)
    left, top = choose.uniform(0, scenes.SIZE[0] - width), choose.uniform(0, scenes.SIZE[1] - height)
    if any(
        left < o.right + 20 and o.left < left + width + 20 and top < o.bottom + 20 and o.top < top + height + 20
        for o in objects
    ):
        return
    exponent = 2 / choose.choice(BETWEEN)
    around = np.linspace(0, 2 * np.pi, 60)
    x, y = (np.sign(each) * np.abs(each) ** exponent for each in (np.cos(around), np.sin(around)))
    corners = np.stack([left + width * (1 + x) / 2, top + height * (1 + y) / 2], axis=1)
    ImageDraw.Draw(scene).polygon([tuple(corner) for corner in corners.tolist()], fill=choose.choice(VIVID))


def _spoiled(choose: random.Random, picture: Picture) -> Picture:
    """Cut a part out of a scene, mirror it or not, and make it foggy, blurred and noisy."""
    share = choose.uniform(0.65, 1)
    width, height = scenes.SIZE[0] * share, scenes.SIZE[1] * share
    left, top = choose.uniform(0, scenes.SIZE[0] - width), choose.uniform(0, scenes.SIZE[1] - height)
    image = picture.image.resize(SIZE, Image.Resampling.BILINEAR, box=(left, top, left + width, top + height))
    objects = [_within(each, left, top, SIZE[0] / width) for each in picture.objects]
    objects = [each for each in objects if each.class_name]
    if choose.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        objects = [replace(each, left=SIZE[0] - each.right, right=SIZE[0] - each.left) for each in objects]
    image = Image.blend(image, Image.new("RGB", SIZE, FOG), 0.92 * choose.random())
    image = image.filter(ImageFilter.GaussianBlur(choose.uniform(0, 6)))
    noise = np.random.default_rng(choose.getrandbits(32)).normal(0, choose.uniform(1, 20), (*SIZE[::-1], 1))
    pixels = np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)
    return Picture(picture.name, Image.fromarray(pixels), objects)


def _within(thing: DrawnObject, left: float, top: float, factor: float) -> DrawnObject:
    """Return an object as a part of the scene has it, clipped; without a class where too little of it is left."""
    edges = [(thing.left - left) * factor, (thing.top - top) * factor]
    edges += [(thing.right - left) * factor, (thing.bottom - top) * factor]
    x1, y1, x2, y2 = (min(max(edge, 0), limit) for edge, limit in zip(edges, SIZE * 2, strict=True))
    whole = (edges[2] - edges[0]) * (edges[3] - edges[1])
    kept = (x2 - x1) * (y2 - y1) >= VISIBLE * whole
    return DrawnObject(thing.class_name if kept else "", x1, y1, x2, y2)
