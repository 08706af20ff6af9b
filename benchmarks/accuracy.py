"""The average precision of each runtime and precision on the shared photographs, beside that of TensorFlow.

Run it with `make bench`; `docs/benchmarks.md` has the figures. Needs the shared folder.
"""

import json
import multiprocessing

from average_precision import average_precision
from input_size import TRUTH, found
from scenes import PRECISIONS
from servers import MODEL, SHARED
from table import Line, Table, Target

from ml_backend.errors import ModelLoadError
from ml_backend.inference.detector import Detector
from ml_backend.settings import load_settings

BOUNDS = {"f32": 0.0005, "bf16": 0.003, "int8": 0.01}


def measure(table: Table) -> None:
    """Add a line for each precision, where there are photographs to measure on."""
    if not TRUTH.exists():
        print("average precision is measured on the shared photographs, which are not here")
        return
    expected = _measured("tensorflow", "f32")
    for precision in PRECISIONS:
        try:
            reached = _measured("openvino", precision)
        except ModelLoadError as error:
            print(f"no {precision}: {error}")
            continue
        scene, note = f"AP at {precision}, distance from TensorFlow", f"AP {reached:.4f}, TensorFlow {expected:.4f}"
        target = Target("at most", BOUNDS[precision])
        table.add(Line(scene, [abs(reached - expected)], target, "AP", note, 4))


def _measured(runtime: str, precision: str) -> float:
    """Return COCO AP, from a process of its own, which ends with the model that it has loaded."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_average_precision, (runtime, precision))


def _average_precision(runtime: str, precision: str) -> float:
    settings = load_settings()
    folder = settings.tfhub_cache_dir
    detector = Detector.load(str(MODEL), folder, workers=1, runtime=runtime, precision=precision)
    ids = {each["file_name"]: each["id"] for each in json.loads(TRUTH.read_text())["images"]}
    boxes = {
        ids[file.name]: found(detector, file.read_bytes(), settings.model_input_max_side, 1)
        for file in sorted((SHARED / "photos" / "images").glob("*.jpg"))
    }
    return average_precision(TRUTH, boxes)


if __name__ == "__main__":
    measure(Table())
