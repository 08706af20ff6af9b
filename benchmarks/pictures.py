"""Makes the pictures of README.md and docs/ anew that show photographs, `/status` and the report: `make pictures`.

The photographs are those inside scikit-image and Matplotlib (docs/images/README.md has their authors and licences), and the boxes are
what the shared trained detector says, unedited. Without the shared folder nothing is made. The pictures of pages need Chromium and Label Studio,
which is installed once as for the tests, and take some minutes.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib as mpl
import skimage
from PIL import Image

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"
DETECTOR = SHARED / "models" / "openimages-subset-detector-hub"
PICTURES = ROOT / "docs" / "images"
CONFIG = ROOT / "label_config" / "open_images.xml"
EVERYDAY = ROOT / "label_config" / "detection.xml"

SCIKIT_IMAGE = Path(skimage.__file__).parent / "data"
PHOTOGRAPHS = {
    "astronaut": SCIKIT_IMAGE / "astronaut.png",
    "camera": SCIKIT_IMAGE / "camera.png",
    "cat": SCIKIT_IMAGE / "chelsea.png",
    "coffee": SCIKIT_IMAGE / "coffee.png",
    "commodore": Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg",
    "rocket": SCIKIT_IMAGE / "rocket.jpg",
}
ROWS = (("coffee", "cat"), ("astronaut", "commodore", "camera"))
WIDTH, GAP = 1208, 8  # of the first picture and between its photographs, in pixels


def photograph(name: str, height: int | None = None) -> Image.Image:
    """Return a photograph, scaled to a height in pixels, if given."""
    with Image.open(PHOTOGRAPHS[name]) as stored:
        image = stored.convert("RGB")
    return image if height is None else image.resize((round(image.width * height / image.height), height))


def run(folder: Path, *arguments: str | Path) -> None:
    """Run a command of Prelabel in a folder."""
    environment = {"PRELABEL_MODEL": str(DETECTOR), "PRELABEL_CACHE": "none", "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, "-m", "ml_backend", *arguments], cwd=folder, env=os.environ | environment, check=True
    )


def first_picture(folder: Path) -> None:
    """Draw the boxes of five photographs, in rows of one width."""
    files = []
    for row in ROWS:
        widths = [image.width / image.height for image in map(photograph, row)]
        height = round((WIDTH - GAP * (len(row) - 1)) / sum(widths))
        for name in row:
            files.append(folder / f"{name}.png")
            photograph(name, height).save(files[-1])
    run(folder, "predict", "--config", CONFIG, "--draw", "drawn", *files)
    drawn = [[Image.open(folder / "drawn" / f"{name}-boxes.png") for name in row] for row in ROWS]
    picture = Image.new("RGB", (WIDTH, sum(images[0].height for images in drawn) + GAP * (len(drawn) - 1)), "white")
    top = 0
    for images in drawn:
        left = 0
        for image in images:
            picture.paste(image, (left, top))
            left += image.width + GAP
        top += images[0].height + GAP
    picture.save(PICTURES / "photographs.jpg", quality=88)


def contact_sheet(folder: Path) -> None:
    """Draw what a dry run on a folder of photographs gives."""
    source = folder / "photographs"
    source.mkdir()
    for name in PHOTOGRAPHS:
        photograph(name).save(source / f"{name}.png")
    run(folder, "bootstrap", source, "--config", CONFIG, "--dry-run", "24")
    (sheet,) = folder.glob("*dry-run*.jpg")
    sheet.replace(PICTURES / "bootstrap.jpg")


def explained(folder: Path) -> None:
    """Draw why each detection of a photograph is shown or not."""
    photograph("camera", 640).save(folder / "camera.png")
    run(folder, "explain", folder / "camera.png", "--config", EVERYDAY, "--draw", folder / "why.png")
    with Image.open(folder / "why.png") as picture:
        picture.convert("RGB").save(PICTURES / "explain.jpg", quality=88)


def main(arguments: Sequence[str]) -> None:
    """Make the pictures; with the argument ``photographs``, those without Label Studio."""
    if not DETECTOR.is_dir():
        print(f"no picture is made: they need the trained detector in {DETECTOR}")
        return
    with TemporaryDirectory() as folder:
        for make in (first_picture, contact_sheet, explained):
            make(Path(folder))
    if "photographs" in arguments:
        return
    from pictures_of_pages import take_pictures

    with TemporaryDirectory() as folder:
        take_pictures(Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
