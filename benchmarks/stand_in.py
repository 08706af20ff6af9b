"""A detector of the published model's shape where no trained one is at hand: MobileNetV2 on 300 x 300 pixels, 600 classes, random weights.

Its boxes mean nothing; its time is that of a detector of this kind.
"""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ml_backend.vocabularies.open_images import open_images_classes

SIDE, BOXES, CLASSES = 300, 100, 600


class StandIn(tf.Module):  # type: ignore[misc]  # TensorFlow has no type information
    """Keeps the openimages_v4 contract."""

    def __init__(self) -> None:
        super().__init__()
        tf.keras.utils.set_random_seed(1)
        self.backbone = tf.keras.applications.MobileNetV2((SIDE, SIDE, 3), include_top=False, weights=None)
        self.boxes = tf.keras.layers.Dense(4, activation="sigmoid")
        self.scores = tf.keras.layers.Dense(CLASSES, activation="sigmoid")
        self.names = tf.constant(open_images_classes().names[:CLASSES])
        self.mids = tf.constant(open_images_classes().ids[:CLASSES])

    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.float32, name="images")])  # type: ignore[untyped-decorator]  # as above
    def detect(self, images: Any) -> dict[str, Any]:
        """Return detections in the fields of the published models."""
        cells = tf.reshape(self.backbone(tf.image.resize(images, (SIDE, SIDE)) * 2 - 1), (BOXES, -1))
        corners = tf.reshape(self.boxes(cells), (BOXES, 2, 2))
        boxes = tf.concat([tf.reduce_min(corners, 1), tf.reduce_max(corners, 1)], 1)
        scores = self.scores(cells)
        classes = tf.argmax(scores, 1)
        best = tf.argsort(tf.reduce_max(scores, 1), direction="DESCENDING")
        fields = {
            "detection_boxes": boxes,
            "detection_scores": tf.reduce_max(scores, 1),
            "detection_class_labels": classes + 1,
            "detection_class_entities": tf.gather(self.names, classes),
            "detection_class_names": tf.gather(self.mids, classes),
        }
        return {name: tf.gather(values, best) for name, values in fields.items()}


def build(folder: Path) -> Path:
    """Save the detector in a folder; gives the folder."""
    module = StandIn()
    module.detect(tf.constant(np.zeros((1, SIDE, SIDE, 3), np.float32)))
    tf.saved_model.save(module, str(folder), signatures={"default": module.detect})
    return folder
