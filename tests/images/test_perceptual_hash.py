import io
import json
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance
from published import shared_folder

from ml_backend.bootstrap.near_duplicates import MAX_BITS
from ml_backend.demo.scenes import draw_scene
from ml_backend.images.decoding.decode import decode
from ml_backend.images.perceptual_hash import perceptual_hash

Change = Callable[[Image.Image], Image.Image]


def differing_bits(one: Image.Image, other: Image.Image) -> int:
    """Return in how many bits the hashes of two pictures differ."""
    first, second = (perceptual_hash(np.asarray(image.convert("RGB"))) for image in (one, other))
    return (first ^ second).bit_count()


def saved(quality: int) -> Change:
    """Return what saves a picture as JPEG."""

    def save(image: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return Image.open(buffer)

    return save


def scaled(share: float) -> Change:
    """Return what makes a picture smaller or larger."""
    return lambda image: image.resize((round(image.width * share), round(image.height * share)))


def brighter(share: float) -> Change:
    """Return what makes a picture brighter or darker."""
    return lambda image: ImageEnhance.Brightness(image).enhance(share)


def stamped(image: Image.Image) -> Image.Image:
    """Write a small date into a corner."""
    changed = image.copy()
    ImageDraw.Draw(changed).text((8, 8), "2026-11-22", fill="white")
    return changed


ALIKE: dict[str, Change] = {
    "the same": lambda image: image,
    "saved again, quality 20": saved(20),
    "half the size": scaled(0.5),
    "three times the size": scaled(3),
    "half the size, quality 20": lambda image: saved(20)(scaled(0.5)(image)),
    "a tenth brighter": brighter(1.1),
    "a tenth darker": brighter(0.9),
    "a date in the corner": stamped,
    "grey": lambda image: image.convert("L"),
}
SCENES = [draw_scene(seed)[0] for seed in range(6)]


@pytest.mark.parametrize("change", ALIKE.values(), ids=ALIKE)
def test_what_people_call_the_same_picture(change: Change) -> None:
    """Differs in few bits, in each of six drawn scenes."""
    assert max(differing_bits(scene, change(scene)) for scene in SCENES) <= MAX_BITS


def test_different_scenes_differ() -> None:
    """Though all have a sky, a meadow, balloons and kites; as do a scene and its mirror image, or what lies on its side."""
    assert min(differing_bits(*pair) for pair in combinations(SCENES, 2)) > MAX_BITS
    for scene in SCENES:
        for change in (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180):
            assert differing_bits(scene, scene.transpose(change)) > MAX_BITS


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (7, 3), (640, 480)])
def test_any_size_has_an_appearance(size: tuple[int, int]) -> None:
    """64 bits, even where there is nothing to be seen."""
    for colour in ("black", "white", "red"):
        assert 0 <= perceptual_hash(np.asarray(Image.new("RGB", size, colour))) < 2**64


def test_photographs() -> None:
    """Eighty of them: saved again they are alike, and no two of them are."""
    shared = shared_folder("photographs differ in 0 to 4 bits when they are saved again (docs/bootstrap.md)")
    names = [each["file_name"] for each in json.loads((shared / "photos" / "instances.json").read_text())["images"]]
    found = []
    for name in names:
        data = (shared / "photos" / "images" / name).read_bytes()
        photograph = Image.fromarray(decode(data, max_pixels=50_000_000, max_side=640).pixels)
        assert differing_bits(photograph, saved(20)(scaled(0.5)(photograph))) <= MAX_BITS, name
        found.append(perceptual_hash(np.asarray(photograph)))
    assert len(found) == 80
    assert min((one ^ other).bit_count() for one, other in combinations(found, 2)) > MAX_BITS
