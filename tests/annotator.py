"""An annotator who knows the truth: corrects a prediction as a person does in Label Studio's interface, and keeps count."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.detections import iou

Truth = Mapping[str, NDArray[np.float32]]  # by label: float32 [N, 4], ymin, xmin, ymax, xmax, normalized
GOOD_ENOUGH = 0.8  # IoU from which this annotator leaves a box as it is


@dataclass
class Annotator:
    """Corrects predictions; ``done`` counts what it did: kept, moved, relabeled, deleted, added."""

    done: Counter[str] = field(default_factory=Counter)

    def correct(self, prediction: Mapping[str, Any] | None, truth: Truth, size: tuple[int, int]) -> dict[str, Any]:
        """Return the annotation to submit.

        Args:
            prediction: as Label Studio stores it; None where there is none.
            truth: what is on the picture.
            size: width and height of the picture, in pixels.
        """
        wanted = [(label, box) for label, boxes in truth.items() for box in boxes]
        regions: Sequence[Mapping[str, Any]] = prediction["result"] if prediction else []
        result: list[dict[str, Any]] = []
        left = set(range(len(wanted)))
        partners = _partners(regions, wanted)
        for place, region in enumerate(regions):
            partner = partners.get(place)
            if partner is None:
                self.done["deleted"] += 1
                continue
            left.discard(partner)
            label, box = wanted[partner]
            overlap = float(iou(_edges(region)[None], box[None])[0, 0])
            value = dict(region["value"])
            if value["rectanglelabels"] != [label]:
                self.done["relabeled"] += 1
                value["rectanglelabels"] = [label]
            elif overlap >= GOOD_ENOUGH:
                self.done["kept"] += 1
                result.append({**region, "origin": "prediction"})
                continue
            else:
                self.done["moved"] += 1
                value |= _percent(box)
            result.append({**region, "value": value, "origin": "prediction-changed"})
        for place in sorted(left):
            self.done["added"] += 1
            label, box = wanted[place]
            value = _percent(box) | {"rotation": 0, "rectanglelabels": [label]}
            drawn = {"id": f"new{place}", "from_name": "label", "to_name": "image", "type": "rectanglelabels"}
            sizes = {"original_width": size[0], "original_height": size[1], "image_rotation": 0}
            result.append({**drawn, **sizes, "value": value, "origin": "manual"})
        parent = prediction["id"] if prediction else None
        return {"result": result, "lead_time": 5.0 + len(result), "parent_prediction": parent, "was_cancelled": False}


def _partners(
    regions: Sequence[Mapping[str, Any]], wanted: Sequence[tuple[str, NDArray[np.float32]]]
) -> dict[int, int]:
    """Return which wanted box each region stands for: the best overlap first, those of the same label before all others."""
    pairs = [
        (region["value"]["rectanglelabels"][0] == label, float(iou(_edges(region)[None], box[None])[0, 0]), row, column)
        for row, region in enumerate(regions)
        for column, (label, box) in enumerate(wanted)
    ]
    partners: dict[int, int] = {}
    for _, overlap, row, column in sorted(pairs, reverse=True):
        if overlap >= 0.5 and row not in partners and column not in partners.values():
            partners[row] = column
    return partners


def _edges(region: Mapping[str, Any]) -> NDArray[np.float32]:
    value = region["value"]
    edges = (value["y"], value["x"], value["y"] + value["height"], value["x"] + value["width"])
    return np.array(edges, np.float32) / np.float32(100)


def _percent(box: NDArray[np.float32]) -> dict[str, float]:
    top, left, bottom, right = (float(edge) * 100 for edge in box)
    return {"x": left, "y": top, "width": right - left, "height": bottom - top}
