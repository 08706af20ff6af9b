"""What people run today, to compare with: a backend as tutorials write them, on the official runner.

Served by gunicorn with eight threads. The model is loaded once, the picture is fetched by the runner's own helper (which keeps a copy on
disk), decoded by Pillow and handed to the detector as it is. Nothing else is kept. It is honest work: every answer is right.
"""

import os
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub
from label_studio_ml.api import init_app
from label_studio_ml.model import LabelStudioMLBase
from label_studio_ml.utils import get_image_local_path, get_single_tag_keys
from PIL import Image

detector = hub.load(os.environ["PEER_MODEL"]).signatures["default"]
THRESHOLD = 0.3


class Peer(LabelStudioMLBase):  # type: ignore[misc]  # the runner has no type information
    """Draws boxes with the labels that have a class's very name."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.from_name, self.to_name, self.value, self.labels = get_single_tag_keys(
            self.parsed_label_config, "RectangleLabels", "Image"
        )

    def predict(self, tasks: list[dict[str, Any]], **_: Any) -> list[dict[str, Any]]:
        """Return a prediction for each task."""
        return [self._predict(task) for task in tasks]

    def _predict(self, task: dict[str, Any]) -> dict[str, Any]:
        path = get_image_local_path(task["data"][self.value], image_cache_dir=os.environ["PEER_FILES"])
        image = np.asarray(Image.open(path).convert("RGB"))
        height, width = image.shape[:2]
        found = detector(images=tf.convert_to_tensor(image[None] / np.float32(255)))
        known = set(self.labels)
        regions = []
        for box, score, name in zip(
            found["detection_boxes"].numpy(),
            found["detection_scores"].numpy(),
            found["detection_class_entities"].numpy(),
            strict=True,
        ):
            label = name.decode()
            if score < THRESHOLD or label not in known:
                continue
            ymin, xmin, ymax, xmax = (float(edge) * 100 for edge in box)
            value = {"x": xmin, "y": ymin, "width": xmax - xmin, "height": ymax - ymin, "rectanglelabels": [label]}
            regions.append(
                {
                    "from_name": self.from_name,
                    "to_name": self.to_name,
                    "type": "rectanglelabels",
                    "original_width": width,
                    "original_height": height,
                    "value": value,
                    "score": float(score),
                }
            )
        return {"result": regions, "score": max((region["score"] for region in regions), default=0.0)}

    def fit(self, *_: Any, **__: Any) -> dict[str, Any]:
        """Learn nothing."""
        return {}


app = init_app(model_class=Peer, model_dir=os.environ["PEER_FILES"])
