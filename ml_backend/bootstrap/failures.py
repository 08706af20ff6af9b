"""The CSV file of the items that failed."""

import csv
from pathlib import Path

from ml_backend.bootstrap.checkpoint import Checkpoint
from ml_backend.bootstrap.sinks.sink import replaced
from ml_backend.redaction import printable


def write_failures(checkpoint: Checkpoint, path: Path) -> int:
    """Write ``image, reason, code`` of each failed item and return their number; without failures, the file is deleted."""
    if not checkpoint.counts().failed:
        path.unlink(missing_ok=True)
        return 0
    number = 0
    with replaced(path, newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("image", "reason", "code"))
        for item, failure in checkpoint.failures():
            rows.writerow((printable(item.name, 2000), failure.reason, failure.code))
            number += 1
    return number
