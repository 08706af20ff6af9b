"""Parts of bulk jobs: items, looks at pictures, and what was found in them."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from samples import detections_of

from ml_backend.bootstrap.items import Item, Look
from ml_backend.detections import Detections
from ml_backend.labels import Source

PLACES = [Source("image", is_list=False)]
PREFIX = "/data/local-files/?d="

Found = Mapping[str, Sequence[Detections]]
Row = tuple[Item, Found | None]


def item(name: str, *, left: str = "", stamp: str = "", **more: Any) -> Item:
    """Return an item of a list of addresses; its name is its key."""
    return Item(name.encode(), {"data": {"image": f"http://host/{name}"}, **more}, left=left, stamp=stamp)


def item_of_file(path: Path, root: Path) -> Item:
    """Return an item of a folder."""
    within = os.fsencode(path.relative_to(root))
    return Item(within, {"data": {"image": PREFIX + quote(within)}}, path)


def look(detections: Detections, appearance: int = 0) -> Look:
    """Return a look at a picture; those in which the same was found are one picture."""
    data = detections.to_bytes()
    return Look(hashlib.sha256(data).hexdigest(), data, appearance)


def looked_at(found: Found) -> dict[str, list[Look]]:
    """Return looks at the pictures of one item, none of which looks like those of another size."""
    return {key: [look(each, each.width << 20) for each in detections] for key, detections in found.items()}


def balloon(score: float = 0.9, width: int = 200, height: int = 100) -> dict[str, list[Detections]]:
    """Return one balloon at x 20 to 80, y 25 to 75 percent."""
    return {"image": [detections_of(("Balloon", score, (0.25, 0.2, 0.75, 0.8)), width=width, height=height)]}


def nothing() -> dict[str, list[Detections]]:
    """Return an empty picture."""
    return {"image": [detections_of(width=64, height=48)]}
