"""Parts of bulk jobs: items, looks at pictures, and what was found in them."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from label_studio_sdk.converter import Converter
from samples import detections_of

from ml_backend.bootstrap.existing_tasks import ExistingTaskPolicy
from ml_backend.bootstrap.items import Item, Needs, PredictedItem
from ml_backend.bootstrap.job import JobPredictions
from ml_backend.bootstrap.sinks.sink import Sink, WriteContext, write_all
from ml_backend.classification import Classification
from ml_backend.detections import Detections
from ml_backend.label_studio.controls.control import ImageField
from ml_backend.model_results import ModelResults
from ml_backend.pipeline.image_results import ImageResult
from ml_backend.vocabularies.imagenet import imagenet_classes

IMAGE_FIELDS = [ImageField("image", is_list=False)]
NEEDS: Needs = {IMAGE_FIELDS[0]: ["detector"]}
PREFIX = "/data/local-files/?d="

Seen = Detections | ModelResults
Found = Mapping[str, Sequence[Seen]]
Row = tuple[Item, Found | None]


class NoInputs:
    """A source of nothing, for jobs whose checkpoint is filled already."""

    name = "nothing"
    sort = False
    path = None
    project = None

    def items(self) -> Iterator[Item]:
        """Yield nothing."""
        return iter(())


def item(name: str, *, skip_reason: str = "", stamp: str = "", **more: Any) -> Item:
    """Return an item of a list of addresses; its name is its key."""
    return Item(name.encode(), {"data": {"image": f"http://host/{name}"}, **more}, skip_reason=skip_reason, stamp=stamp)


def write(sink: Sink, of: JobPredictions, predictions: Iterable[PredictedItem] | None = None) -> str:
    """Write the predictions of a job to one sink, or other predictions in their place; gives the sink's sentence."""
    context = WriteContext(len(of), of.checkpoint, ExistingTaskPolicy(of.version))
    ((_, sentence),) = write_all([sink], of if predictions is None else predictions, context)
    return sentence


def item_of_file(path: Path, root: Path) -> Item:
    """Return an item of a folder."""
    within = os.fsencode(path.relative_to(root))
    return Item(within, {"data": {"image": PREFIX + quote(within)}}, path)


def look(seen: Seen, perceptual_hash: int = 0) -> ImageResult:
    """Return a look at a picture; those in which the same was found are one picture."""
    results = ModelResults(seen) if isinstance(seen, Detections) else seen
    detections = b"" if results.detections is None else results.detections.to_bytes()
    classification = b"" if results.classification is None else results.classification.to_bytes()
    digest = hashlib.sha256(detections + classification).hexdigest()
    return ImageResult(digest, detections, perceptual_hash, classification=classification)


def looked_at(found: Found) -> dict[str, list[ImageResult]]:
    """Return looks at the pictures of one item, none of which looks like those of another size."""
    return {key: [look(each, _width(each) << 20) for each in seen] for key, seen in found.items()}


def _width(seen: Seen) -> int:
    return seen.width if isinstance(seen, Detections) else seen.size[0]


def chances(width: int = 200, height: int = 100, **of_classes: float) -> Classification:
    """Return the probabilities of some classes of ImageNet, as in ``chances(balloon=0.9)``; the others share the rest."""
    names = [each.name for each in imagenet_classes()]
    rest = (1 - sum(of_classes.values())) / (len(names) - len(of_classes))
    probabilities = np.full(len(names), rest, np.float32)
    for name, probability in of_classes.items():
        probabilities[names.index(name)] = probability
    return Classification(probabilities, width, height)


def classified(width: int = 200, height: int = 100, **of_classes: float) -> ModelResults:
    """Return what a classifier alone says of a picture."""
    return ModelResults(None, chances(width, height, **of_classes))


def balloon(score: float = 0.9, width: int = 200, height: int = 100) -> dict[str, list[Detections]]:
    """Return one balloon at x 20 to 80, y 25 to 75 percent."""
    return {"image": [detections_of(("Balloon", score, (0.25, 0.2, 0.75, 0.8)), width=width, height=height)]}


def nothing() -> dict[str, list[Detections]]:
    """Return an empty picture."""
    return {"image": [detections_of(width=64, height=48)]}


PAIR_CONFIG = (
    '<View><Image name="image" value="$image"/><Rectangle name="box" toName="image"/>'
    '<Labels name="label" toName="image"><Label value="Balloon"/><Label value="Kite"/></Labels></View>'
)
LIST_CONFIG = (
    '<View><Image name="pages" valueList="$pages"/><RectangleLabels name="label" toName="pages">'
    '<Label value="Kite"/><Label value="Balloon"/></RectangleLabels></View>'
)


def scattered(number: int, width: int, height: int, seed: int = 3) -> dict[str, list[Detections]]:
    """Return small balloons and kites all over one picture."""
    draw = np.random.default_rng(seed)
    rows: list[tuple[str, float, tuple[float, float, float, float]]] = []
    for n in range(number):
        top, left = draw.uniform(0, 0.95, 2)
        corner = (float(top), float(left), float(top + draw.uniform(0.01, 0.2)), float(left + draw.uniform(0.01, 0.2)))
        rows.append((("Balloon", "Kite")[n % 2], float(draw.uniform(0.31, 1)), corner))
    return {"image": [detections_of(*rows, width=width, height=height)]}


def albums() -> list[Row]:
    """Return two tasks with lists of images: a kite and a balloon on pages of their own, an empty page, an empty list."""
    pages = [*balloon(0.8)["image"], *nothing()["image"], detections_of(("Kite", 0.6, (0, 0, 0.5, 0.5)))]
    return [
        (
            Item(b"a", {"data": {"pages": ["http://host/1.jpg", "http://host/2.jpg", "http://host/3.jpg"]}}),
            {"pages": pages},
        ),
        (Item(b"b", {"data": {"pages": []}}), {"pages": []}),
    ]


def converted(predictions: JobPredictions, config: str, file_format: str, folder: Path) -> Path:
    """Let Label Studio's own converter write the predictions, as if people had drawn them; gives the folder."""
    tasks = []
    for number, each in enumerate(predictions, 1):
        assert each.prediction is not None
        value = str(each.item.file) if each.item.file is not None else each.item.task["data"]["image"]
        annotation = {"id": number, "result": each.prediction["result"]}
        tasks.append({"id": number, "data": {"image": value}, "annotations": [annotation]})
    folder.mkdir()
    (folder / "export.json").write_text(json.dumps(tasks))
    converter = Converter(config, str(folder), download_resources=False)
    converter.convert(str(folder / "export.json"), str(folder / "out"), file_format, is_dir=False)
    return folder / "out"
