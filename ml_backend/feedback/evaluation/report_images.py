"""The images of the report: those with the most edits, and crops of candidates for a second look."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ml_backend.errors import PrelabelError
from ml_backend.feedback.evaluation.candidates import Candidate, CandidateKind
from ml_backend.feedback.evaluation.tallies import WorstImage
from ml_backend.images.decoding.pool import DecoderPool, Limits
from ml_backend.images.drawing import Box, draw_boxes
from ml_backend.images.fetch import ImageFetcher
from ml_backend.images.references import parse_reference
from ml_backend.label_studio.connections import LabelStudios
from ml_backend.settings import Settings

WIDTH = 560  # of an image on the page, in pixels
CROP_WIDTH = 280  # of a crop
CROPPED_FROM = 1600  # pixels of the longer side of the image that crops are cut from
MARGIN = 0.5  # of the boxes' size, around them in a crop

COLOURS = {
    "kept": "#1b8a3d",
    "nudged": "#0b7f8a",
    "relabeled": "#8e3bc4",
    "deleted": "#d62839",
    "found": "#1b8a3d",
    "hidden": "#c2570c",
    "other label": "#8e3bc4",
    "not found": "#1d6fd1",
}
# Captions of boxes in an image; the other outcomes repeat a shown box.
CAPTIONS = {
    "nudged": "nudged",
    "relabeled": "relabeled",
    "deleted": "deleted",
    "hidden": "hidden",
    "not found": "missed",
}
DRAWN, DETECTED = "#d62839", "#1d6fd1"  # boxes in a crop
CANDIDATE_COLOURS: dict[CandidateKind, str] = {
    "another label": "#8e3bc4",
    "badly placed": "#0b7f8a",
    "nothing there": "#d62839",
    "overlooked": "#1d6fd1",
}


async def draw_worst(settings: Settings, project: int, worst: Sequence[WorstImage]) -> dict[int, Image.Image | str]:
    """Fetch the images with the most edits, and draw their boxes with outcomes; returns them, or why there is none, by annotation id.

    Args:
        settings: for the image fetcher and the decoder.
        project: id of the project.
        worst: the images.
    """
    drawn = await _draw_all(settings, project, worst)
    return {each.annotation: image for each, image in zip(worst, drawn, strict=True)}


async def draw_crops(settings: Settings, project: int, candidates: Sequence[Candidate]) -> list[Image.Image | str]:
    """Fetch the images of candidates, and crop them to their boxes; returns each, or why there is none.

    Args:
        settings: for the image fetcher and the decoder.
        project: id of the project.
        candidates: the candidates.
    """
    return await _draw_all(settings, project, candidates)


async def _draw_all(
    settings: Settings, project: int, wanted: Sequence[WorstImage | Candidate]
) -> list[Image.Image | str]:
    """Return each image as drawn, or why there is none."""
    drawn: list[Image.Image | str] = []
    label_studios = LabelStudios.from_settings(settings)
    with DecoderPool(Limits.from_settings(settings)) as decoders:
        async with ImageFetcher.from_settings(settings) as fetcher:
            for each in wanted:
                try:
                    home = label_studios.of(str(project))
                    fetched = await fetcher.fetch(parse_reference(each.reference), home, each.task)
                    if fetched is None:
                        drawn.append("")
                        continue
                    decoded = decoders.decode(fetched.data, max_side=side_of(each))
                    drawn.append(draw(decoded.pixels, each))
                except PrelabelError as error:
                    drawn.append(str(error))
    return drawn


def side_of(wanted: WorstImage | Candidate) -> int:
    """Return the most pixels of the longer side of the image that :func:`draw` needs."""
    return WIDTH if isinstance(wanted, WorstImage) else CROPPED_FROM


def draw(pixels: NDArray[np.uint8], wanted: WorstImage | Candidate) -> Image.Image:
    """Return an image with its boxes and their outcomes, or the crop of a candidate.

    Args:
        pixels: uint8 [height, width, 3], RGB, in the displayed frame.
        wanted: what to draw.
    """
    image = Image.fromarray(pixels)
    return draw_outcomes(image, wanted) if isinstance(wanted, WorstImage) else crop(image, wanted)


def draw_outcomes(image: Image.Image, worst: WorstImage) -> Image.Image:
    """Return an image with its boxes and their outcomes."""
    boxes = [
        Box(
            np.array(box.edges, np.float32),
            f"{box.label} {CAPTIONS.get(box.outcome, '')}".strip(),
            COLOURS[box.outcome],
        )
        for box in sorted(worst.boxes, key=lambda box: box.outcome in CAPTIONS)
        if box.outcome in CAPTIONS or box.outcome == "kept"
    ]
    return draw_boxes(np.asarray(image), boxes)


def crop(image: Image.Image, candidate: Candidate) -> Image.Image:
    """Return the part of an image around the boxes of a candidate, at most :data:`CROP_WIDTH` wide and high, with both boxes."""
    edges = [each for each in (candidate.detected, candidate.drawn) if each is not None]
    top, left, bottom, right = (
        pick(values) for pick, values in zip((min, min, max, max), zip(*edges, strict=True), strict=True)
    )
    # A box of a few pixels is shown with what is around it.
    height, width = max(bottom - top, 32 / image.height), max(right - left, 32 / image.width)
    top, bottom = max(0.0, top - MARGIN * height), min(1.0, bottom + MARGIN * height)
    left, right = max(0.0, left - MARGIN * width), min(1.0, right + MARGIN * width)
    part = image.crop(
        (
            round(left * image.width),
            round(top * image.height),
            round(right * image.width),
            round(bottom * image.height),
        )
    )
    scale = CROP_WIDTH / max(part.size)
    part = part.resize((max(1, round(part.width * scale)), max(1, round(part.height * scale))))

    def within(box: tuple[float, float, float, float]) -> NDArray[np.float32]:
        ymin, xmin, ymax, xmax = box
        height, width = bottom - top, right - left
        inside = ((ymin - top) / height, (xmin - left) / width, (ymax - top) / height, (xmax - left) / width)
        return np.array(inside, np.float32)

    boxes = []
    if candidate.detected is not None:
        boxes.append(Box(within(candidate.detected), f"{candidate.detected_label}?", DETECTED))
    if candidate.drawn is not None:
        boxes.append(Box(within(candidate.drawn), candidate.label or "(no label)", DRAWN))
    return draw_boxes(np.asarray(part), boxes)
