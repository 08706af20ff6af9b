"""Records anew what ``tests/test_unchanged.py`` compares with. Run this only where a change of answers is meant, and read the difference.

``python tests/record_unchanged.py`` writes the answers (``tests/recorded/*.json``) that this code gives from the stored files. Those
(``tests/recorded/*.sqlite3``) are never made anew: they are the proof that this code reads what an earlier one has written.
"""

import shutil
import tempfile
from pathlib import Path

from stand_ins import write_stand_ins
from test_unchanged import (
    CACHE,
    CORRECTIONS,
    DETECTOR,
    JOURNAL,
    RECORDED,
    as_text,
    bulk_job,
    corrections,
    inputs,
    job_folder,
    move_journal,
    predictions,
)

from ml_backend.inference.detector import Detector


def record(detector: Detector, root: Path) -> None:
    """Write the answers that this code gives from copies of the stored files, in an empty folder."""
    photographs = root / "photographs"
    photographs.mkdir()
    write_stand_ins(photographs)
    for name in (CACHE, JOURNAL, CORRECTIONS):
        shutil.copyfile(RECORDED / name, root / name)
    job_folder(photographs, root)
    move_journal(root / JOURNAL, root)
    answers = {
        "inputs": inputs(photographs),
        "predictions": predictions(photographs, root / CACHE, detector),
        "bulk_job": bulk_job(root, PRELABEL_CACHE="none")[0],
        "corrections": corrections(root / CORRECTIONS, detector),
    }
    for name, values in answers.items():
        (RECORDED / f"{name}.json").write_text(as_text(values), encoding="utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as models:
        record(Detector.load(str(RECORDED / DETECTOR), Path(models), workers=2), Path(folder))
