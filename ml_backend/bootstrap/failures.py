"""The list of what could not be predicted, for people to mend and to try again."""

import csv
from pathlib import Path

from ml_backend.bootstrap.checkpoint import Checkpoint
from ml_backend.bootstrap.sinks.sink import replaced
from ml_backend.redaction import printable


def write_failures(checkpoint: Checkpoint, path: Path) -> int:
    """Write ``image, reason, code`` of each failed item; gives how many. Where there are none, there is no file."""
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
