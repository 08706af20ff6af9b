"""``Tally``: the figures of a run of a bulk job, for its reporters."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from ml_backend.bootstrap.items import Outcome
from ml_backend.detections import Detections
from ml_backend.label_studio.controls.choices import ChoicesControl
from ml_backend.label_studio.controls.rectangles import RectangleControl
from ml_backend.model_results import ModelKind, tiles_of
from ml_backend.pipeline.image_work import Cost
from ml_backend.postprocessing.label_map import LabelMap
from ml_backend.postprocessing.postprocessor import Postprocessor
from ml_backend.postprocessing.selection import select


class LabelsAndCost(NamedTuple):
    """The result and the cost of one way to detect.

    Attributes:
        labels: the number of boxes by label.
        runs: of the detector for an image, on average; each tile is one.
        seconds: of a worker for an image, on average, with decoding.
    """

    labels: Counter[str]
    runs: float
    seconds: float


class Tally:
    """The figures of this run.

    Attributes:
        items: examined, failed ones included.
        failed: items that failed.
        images: examined; an item can have several.
        computed: images for which a model ran; the results of all others were in the checkpoint or the cache.
        tiles: the largest number of tiles along each side of an image; 0 without tiles.
        labels: the number of boxes by label and of images (or lists of them) by choice, of those results that were new to the checkpoint. A
            choice whose name is also that of a label, or of another control's choice, is called ``<control>: <choice>``.
        costs: of each kind of results that was computed.
    """

    def __init__(self, postprocessor: Postprocessor) -> None:
        self.tiles = max([control.tiles or 0 for control, _ in postprocessor.rectangles], default=0)
        self._postprocessor = postprocessor
        self._used = Counter({label.value for control, _ in postprocessor.rectangles for label in control.labels})
        for served in postprocessor.choices:
            self._used.update({choice.value for choice in served.control.labels})
        self.start()
        self.items = self.failed = self.images = self.computed = 0
        self.labels: Counter[str] = Counter()
        self._boxes: Counter[str] = Counter()
        self._boxes_in_whole: Counter[str] = Counter()
        self.costs: dict[ModelKind, Cost] = {}

    def start(self) -> None:
        """Start the clock."""
        self._started = time.monotonic()
        self._ended: float | None = None

    def stop(self) -> None:
        """Stop the clock."""
        self._ended = time.monotonic()

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Count outcomes."""
        for outcome in outcomes:
            self.items += 1
            self.failed += outcome.failure is not None
            for image in (image for images in outcome.images.values() for image in images):
                self.images += 1
                self.computed += image.computed
                for kind, cost in image.costs.items():
                    self.costs[kind] = self.costs.get(kind, Cost()) + cost
            self._count_boxes(outcome)
            self._count_choices(outcome)

    def _count_boxes(self, outcome: Outcome) -> None:
        for control, label_map in self._postprocessor.rectangles:
            for image in outcome.images.get(control.data_key, ()):
                if not image.kinds.issuperset(control.models):
                    continue
                results = image.decoded(control.models)
                kept = self._kept(results.boxes_in(control.models), control, label_map)
                self.labels.update(kept)
                if self.tiles:
                    self._boxes.update(kept)
                    self._boxes_in_whole.update(self._kept(results.boxes, control, label_map))

    def _kept(self, detections: Detections, control: RectangleControl, label_map: LabelMap) -> list[str]:
        decisions = select(detections, control, label_map, self._postprocessor.score_threshold)
        return [decision.label for decision in decisions if decision.kind == "kept"]

    def _count_choices(self, outcome: Outcome) -> None:
        for served in self._postprocessor.choices:
            control = served.control
            images = outcome.images.get(control.data_key, ())
            found = [image.decoded([control.model]) for image in images if control.model in image.kinds]
            # Images that are classified together count only if all of them are new.
            groups = [[each] for each in found] if control.per_item else [found] if len(found) == len(images) else []
            for group in filter(None, groups):
                decisions = served.decide(group, self._postprocessor.score_threshold)
                self.labels.update(
                    {self._name(control, each.choice.value) for each in decisions if each.kind == "kept"}
                )

    def _name(self, control: ChoicesControl, choice: str) -> str:
        return f"{control.from_name}: {choice}" if self._used[choice] > 1 else choice

    @property
    def seconds(self) -> float:
        """Seconds from the start to the end, or to now."""
        return (self._ended or time.monotonic()) - self._started

    @property
    def rate(self) -> float:
        """Items a second, above 0."""
        return max(self.items, 0.1) / max(self.seconds, 1e-3)

    def compared(self) -> tuple[LabelsAndCost, LabelsAndCost]:
        """Return the number of boxes by label and the detector's cost for an image, for whole images alone and with tiles."""
        images = max(1, self.images)
        whole = self.costs.get("detector", Cost())
        both = sum([self.costs[kind] for kind in tiles_of(self.costs)], whole)
        return (
            LabelsAndCost(self._boxes_in_whole, whole.runs / images, whole.seconds / images),
            LabelsAndCost(self._boxes, both.runs / images, both.seconds / images),
        )

    def views(self) -> dict[str, dict[str, Any]]:
        """Return the figures of :meth:`compared`, for JSON."""
        return {
            name: {
                "labels": dict(each.labels.most_common()),
                "runs": round(each.runs, 2),
                "seconds": round(each.seconds, 3),
            }
            for name, each in zip(("whole", "with_tiles"), self.compared(), strict=True)
        }

    def figures(self) -> dict[str, Any]:
        """Return the figures, for JSON."""
        return {
            "items": self.items,
            "failed": self.failed,
            "pictures": self.images,
            "known": self.images - self.computed,
            "seconds": round(self.seconds, 1),
            "per_second": round(self.rate, 1),
            "labels": dict(self.labels.most_common()),
        }
