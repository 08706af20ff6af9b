"""What shrinking pictures before the model costs in average precision: by size, on photographs as they are and on enlarged copies.

Run it with `make bench-all`; `docs/benchmarks.md` has the figures. Needs the shared folder.
"""

import io
import json
from pathlib import Path

import numpy as np
from average_precision import Box, average_precision
from PIL import Image
from servers import SHARED, load_detector

from ml_backend.images.decoding.decode import decode
from ml_backend.inference.detector import Detector

TRUTH = SHARED / "photos" / "instances.json"
SIDES = (0, 320, 416, 512, 640, 800, 1024, 1280)
ENLARGED = (1, 2, 4, 6)  # 6 makes 3,840 x 2,880 of 640 x 480


def enlarged(file: Path, times: int) -> bytes:
    """Return a photograph as a JPEG file of so many times its sides, or the very file."""
    if times == 1:
        return file.read_bytes()
    buffer = io.BytesIO()
    with Image.open(file) as image:
        size = (image.width * times, image.height * times)
        image.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def found(detector: Detector, data: bytes, max_side: int, times: int) -> list[Box]:
    """Return what is found in a picture, in pixels of the photograph that was enlarged."""
    picture = decode(data, max_pixels=10**9, max_side=max_side)
    detections = detector.run(picture.pixels, (picture.width, picture.height))
    width, height = picture.width / times, picture.height / times
    boxes = np.clip(detections.boxes, 0, 1) * [height, width, height, width]
    return [
        {"label": name, "score": float(score), "edges": [left, top, right, bottom]}
        for name, score, (top, left, bottom, right) in zip(
            detections.class_names, detections.scores, boxes.tolist(), strict=True
        )
    ]


def main() -> None:
    """Measure, where there is something to measure on."""
    if not TRUTH.exists():
        print("the size of the input is measured on the shared photographs, which are not here")
        return
    detector = load_detector()
    ids = {each["file_name"]: each["id"] for each in json.loads(TRUTH.read_text())["images"]}
    files = sorted((SHARED / "photos" / "images").glob("*.jpg"))
    print("| longer side | " + " | ".join(f"x {times}" for times in ENLARGED) + " |")
    print("|---" * (len(ENLARGED) + 1) + "|")
    copies = {times: [enlarged(file, times) for file in files] for times in ENLARGED}
    for side in SIDES:
        row = []
        for times in ENLARGED:
            boxes = {
                ids[file.name]: found(detector, data, side, times)
                for file, data in zip(files, copies[times], strict=True)
            }
            row.append(f"{average_precision(TRUTH, boxes):.4f}")
        print(f"| {side or 'as it is'} | " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
