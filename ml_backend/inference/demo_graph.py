"""The graph of the demo detector, which computes its boxes and scores from the pixels and recognises three shapes.

Pixels of strong colour are foreground, and connected foreground pixels are one shape. The share of its bounding box that a shape fills
determines the class: a diamond fills 1/2 (a kite), an ellipse pi/4 (a balloon), a rectangle all of it (a box).
"""

from pathlib import Path
from typing import Any

from ml_backend.inference.demo_model import SHAPES
from ml_backend.inference.runtimes.tensorflow import tf
from ml_backend.vocabularies.open_images import open_images_classes

GRID = 320  # pixels, the longer side of the image that is searched; boxes are accurate to 1/320 of it
STRONG_COLOUR = 0.35  # largest minus smallest channel, each 0 to 1
SMALLEST = 0.001  # area of a shape, as a share of the image
ROWS = 100


def save(folder: Path) -> None:
    """Save the detector as a TF2 SavedModel; takes about 2 s."""
    module = tf.Module()
    module.detect = tf.function(_detect, input_signature=[tf.TensorSpec([1, None, None, 3], tf.float32, name="images")])
    tf.saved_model.save(module, str(folder), signatures={"default": module.detect})


def _detect(images: Any) -> dict[str, Any]:
    grid = _shrink(images)[0]
    mask = tf.reduce_max(grid, axis=-1) - tf.reduce_min(grid, axis=-1) > STRONG_COLOUR
    boxes, fill, colour = _measure(_connected(mask), grid)

    ideals = tf.constant(list(SHAPES.values()), tf.float32)
    # The score falls to 0 at a difference of 1/4 from the ideal share, and is lower for pale shapes.
    likeness = tf.nn.relu(1 - 4 * tf.abs(fill[:, None] - ideals[None, :]))
    scores = tf.reshape(likeness * tf.minimum(1.0, 0.4 + colour)[:, None], [-1])
    boxes = tf.repeat(boxes, len(SHAPES), axis=0)
    classes = tf.tile(tf.range(len(SHAPES)), [tf.shape(fill)[0]])

    best = tf.argsort(scores, direction="DESCENDING")[:ROWS]
    filler = [[0, ROWS - tf.shape(best)[0]]]
    known = open_images_classes()
    numbers = [known.names.index(name) + 1 for name in SHAPES]
    classes = tf.pad(tf.gather(classes, best), filler)
    return {
        "detection_boxes": tf.ensure_shape(tf.pad(tf.gather(boxes, best), [*filler, [0, 0]]), [ROWS, 4]),
        "detection_scores": tf.ensure_shape(tf.pad(tf.gather(scores, best), filler), [ROWS]),
        "detection_class_labels": tf.gather(tf.constant(numbers, tf.int64), classes),
        "detection_class_entities": tf.gather(tf.constant(list(SHAPES)), classes),
        "detection_class_names": tf.gather(tf.constant([known.ids[number - 1] for number in numbers]), classes),
    }


def _shrink(images: Any) -> Any:
    size = tf.cast(tf.shape(images)[1:3], tf.float32)
    factor = tf.minimum(1.0, GRID / tf.reduce_max(size))
    return tf.image.resize(images, tf.cast(tf.maximum(1.0, tf.round(size * factor)), tf.int32), method="area")


def _connected(mask: Any) -> Any:
    """Number the connected shapes of a mask, bool [h, w]; returns int32 [h, w], 0 outside of shapes."""
    shape = tf.shape(mask)
    inside = tf.cast(mask, tf.float32)
    numbers = tf.reshape(tf.range(1, shape[0] * shape[1] + 1), shape)  # below 2^24, so exact as float32
    spread = tf.cast(numbers, tf.float32) * inside
    before = tf.zeros_like(spread)

    def unsettled(before: Any, now: Any) -> Any:
        return tf.reduce_any(before != now)

    def grow(_: Any, now: Any) -> Any:
        return now, tf.nn.max_pool2d(now[None, :, :, None], 3, 1, "SAME")[0, :, :, 0] * inside

    _, spread = tf.while_loop(unsettled, grow, [before, spread])
    return tf.cast(spread, tf.int32)


def _measure(numbered: Any, grid: Any) -> tuple[Any, Any, Any]:
    """Measure each shape: boxes, float32 [S, 4], normalized; filled share of the box, [S]; mean strength of colour, [S]."""
    places = tf.where(numbered > 0)
    _, shape_of = tf.unique(tf.gather_nd(numbered, places))
    count = tf.reduce_max(tf.concat([shape_of + 1, [0]], 0))
    places = tf.cast(places, tf.float32)
    top_left = tf.math.unsorted_segment_min(places, shape_of, count)
    bottom_right = tf.math.unsorted_segment_max(places, shape_of, count) + 1
    area = tf.math.unsorted_segment_sum(tf.ones_like(places[:, 0]), shape_of, count)
    strength = tf.reduce_max(grid, axis=-1) - tf.reduce_min(grid, axis=-1)
    colour = tf.math.unsorted_segment_mean(tf.gather_nd(strength, tf.cast(places, tf.int64)), shape_of, count)

    size = tf.cast(tf.shape(numbered), tf.float32)
    large = tf.where(area >= SMALLEST * tf.reduce_prod(size))[:, 0]
    fill = area / tf.reduce_prod(bottom_right - top_left, axis=1)
    boxes = tf.concat([top_left / size, bottom_right / size], axis=1)
    return tf.gather(boxes, large), tf.gather(fill, large), tf.gather(colour, large)
