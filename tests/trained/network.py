"""The tests' own detector: seven convolutions, a class and a box for each cell of 8 x 8 pixels, and a non-maximum suppression."""

from typing import Any

import numpy as np
from trained.pictures import CLASSES

from ml_backend.inference.runtimes.tensorflow import tf
from ml_backend.vocabularies.open_images import open_images_classes

SIDE = 192  # pixels of the square that the network looks at
CELL = 8  # pixels
ROWS = 100
STRIDES_AND_CHANNELS = ((2, 16), (2, 32), (2, 48), (1, 48), (1, 48), (1, 48))
HEAD = len(CLASSES) + 4  # a score for each class; the distances of the edges from the middle of the cell

Weights = list[tuple[Any, Any]]  # a kernel and a bias for each convolution, float32, as arrays or variables


def initial_weights(seed: int) -> Weights:
    """Return random kernels (He et al., 2015) and biases; the first scores are 0.02, since most cells have no object."""
    chance = np.random.default_rng(seed)
    found: Weights = []
    before = 3
    for _, channels in (*STRIDES_AND_CHANNELS, (1, HEAD)):
        kernel = chance.normal(0, (2 / (9 * before)) ** 0.5, (3, 3, before, channels))
        found.append((kernel.astype(np.float32), np.zeros(channels, np.float32)))
        before = channels
    kernel, bias = found[-1]
    kernel *= 0.1
    bias[: len(CLASSES)] = -4
    return found


def cells(images: Any, weights: Weights) -> tuple[Any, Any]:
    """Look at images.

    Args:
        images: float32 [N, H, W, 3] in [0, 1]; H and W are multiples of :data:`CELL`.
        weights: of the convolutions.

    Returns:
        logits of the classes, float32 [N, H / 8, W / 8, C]; boxes, float32 [N, H / 8, W / 8, 4], ymin, xmin, ymax, xmax in pixels.
    """
    found = images - 0.5
    *layers, (kernel, bias) = weights
    for (stride, _), (inner, inner_bias) in zip(STRIDES_AND_CHANNELS, layers, strict=True):
        found = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(found, inner, stride, "SAME"), inner_bias))
    found = tf.nn.bias_add(tf.nn.conv2d(found, kernel, 1, "SAME"), bias)
    rows, columns = (tf.cast(tf.range(tf.shape(found)[axis]), tf.float32) for axis in (1, 2))
    middle = CELL * (tf.stack(tf.meshgrid(rows, columns, indexing="ij"), axis=-1) + 0.5)
    distances = 2 * CELL * tf.exp(tf.clip_by_value(found[..., len(CLASSES) :], -4.0, 4.0))
    boxes = tf.concat([middle - distances[..., :2], middle + distances[..., 2:]], axis=-1)
    return found[..., : len(CLASSES)], boxes


def detect(images: Any, weights: Weights, text_of: Any) -> dict[str, Any]:
    """Return the outputs of the openimages_v4 contract.

    Args:
        images: float32 [1, H, W, 3] in [0, 1], of any size.
        weights: of the convolutions.
        text_of: gives strings [N] for the name of an output and class numbers, int64 [N].
    """
    # In whole numbers: OpenVINO 2026.4 resizes to another size where this is a product of floats, rounded. Very flat images fail here.
    size = tf.shape(images)[1:3]
    inside = size * SIDE // tf.reduce_max(size)
    small = tf.image.resize(images, inside, antialias=False)
    margin = SIDE - inside
    square = tf.pad(small, [[0, 0], [0, margin[0]], [0, margin[1]], [0, 0]], constant_values=0.5)
    logits, boxes = cells(tf.ensure_shape(square, [1, SIDE, SIDE, 3]), weights)
    in_image = tf.cast(inside, tf.float32)
    boxes = tf.reshape(boxes, [1, -1, 1, 4]) / tf.tile(in_image, [2])
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    in_margin = tf.reduce_any((middle <= 0) | (middle >= 1), axis=-1)
    scores = tf.where(in_margin, 0.0, tf.reshape(tf.sigmoid(logits), [1, -1, len(CLASSES)]))
    found = tf.image.combined_non_max_suppression(
        boxes, scores, max_output_size_per_class=ROWS, max_total_size=ROWS, iou_threshold=0.5, score_threshold=0.001
    )
    classes = tf.cast(found.nmsed_classes[0], tf.int64)
    known = open_images_classes()
    lines = tf.constant([known.names.index(name) + 1 for name in CLASSES], tf.int64)
    return {
        "detection_boxes": found.nmsed_boxes[0],
        "detection_scores": found.nmsed_scores[0],
        "detection_class_labels": tf.gather(lines, classes),
        "detection_class_entities": text_of("detection_class_entities", classes),
        "detection_class_names": text_of("detection_class_names", classes),
    }
