"""Trains the tests' own detector, always the same way on one machine: ``python -m trained.training FOLDER``."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from trained.network import CELL, SIDE, Weights, cells, initial_weights
from trained.pictures import CLASSES, SIZE, Picture, draw_pictures

from ml_backend.inference.runtimes.tensorflow import tf

SCENES, VARIATIONS = 110, 10
EPOCHS, BATCH = 6, 20
RATE = 4e-3  # of Adam, falling to nothing along a cosine
SMALL = (SIDE, SIDE * SIZE[1] // SIZE[0])  # width and height of a picture as the network sees it
MIDDLE = 0.4  # share of a box, in both directions, in which cells are responsible for it


def train(seed: int = 1) -> Weights:
    """Train, and return the weights."""
    images, truth = _examples()
    chance = np.random.default_rng(seed)
    weights = [(tf.Variable(kernel), tf.Variable(bias)) for kernel, bias in initial_weights(seed)]
    flat = [each for pair in weights for each in pair]
    steps = EPOCHS * (len(images) // BATCH)
    optimizer = tf.keras.optimizers.Adam(tf.keras.optimizers.schedules.CosineDecay(RATE, steps), beta_2=0.99)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]  # TensorFlow has no types
    def step(batch: Any, wanted: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = _loss(*cells(tf.cast(batch, tf.float32) / 255, weights), wanted)
        gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, flat), 10.0)
        optimizer.apply_gradients(zip(gradients, flat, strict=True))
        return loss

    for epoch in range(EPOCHS):
        order = chance.permutation(len(images))[: steps // EPOCHS * BATCH].reshape(-1, BATCH)
        losses = [float(step(images[rows], truth[rows])) for rows in order]
        print(f"epoch {epoch + 1} of {EPOCHS}: loss {np.mean(losses):.3f}", flush=True)  # noqa: T201 - a program
    return [(kernel.numpy(), bias.numpy()) for kernel, bias in weights]


def _examples() -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    pictures = [each for seed in range(SCENES) for each in draw_pictures(seed, VARIATIONS)]
    images = [np.asarray(each.image.resize(SMALL, Image.Resampling.BILINEAR)) for each in pictures]
    return np.stack(images), np.stack([_wanted(each) for each in pictures])


def _wanted(picture: Picture) -> NDArray[np.float32]:
    """Return what each cell should find: float32 [H / 8, W / 8, C + 4], one for the class, then the box in pixels."""
    columns, rows = SMALL[0] // CELL, SMALL[1] // CELL
    wanted = np.zeros((rows, columns, len(CLASSES) + 4), np.float32)
    y, x = (CELL * (each + 0.5) for each in np.mgrid[0:rows, 0:columns])
    for name, boxes in picture.truth().items():
        for top, left, bottom, right in boxes * np.tile(SMALL[::-1], 2):
            reach = np.maximum(CELL / 2, MIDDLE / 2 * np.array([bottom - top, right - left]))
            near = (abs(y - (top + bottom) / 2) <= reach[0]) & (abs(x - (left + right) / 2) <= reach[1])
            wanted[near] = 0
            wanted[near, CLASSES.index(name)] = 1
            wanted[near, len(CLASSES) :] = top, left, bottom, right
    return wanted


def _loss(logits: Any, boxes: Any, wanted: Any) -> Any:
    """Return the loss of the classes (focal, Lin et al., 2017) and of the boxes (1 - GIoU, Rezatofighi et al., 2019)."""
    classes, edges = wanted[..., : len(CLASSES)], wanted[..., len(CLASSES) :]
    has_object = tf.reduce_max(classes, axis=-1)
    count = tf.maximum(tf.reduce_sum(has_object), 1)
    surprise = tf.nn.sigmoid_cross_entropy_with_logits(classes, logits)
    far = tf.abs(classes - tf.sigmoid(logits))
    of_classes = tf.reduce_sum(far * surprise) / count
    inner = _area(tf.maximum(boxes[..., :2], edges[..., :2]), tf.minimum(boxes[..., 2:], edges[..., 2:]))
    around = _area(tf.minimum(boxes[..., :2], edges[..., :2]), tf.maximum(boxes[..., 2:], edges[..., 2:]))
    union = _area(boxes[..., :2], boxes[..., 2:]) + _area(edges[..., :2], edges[..., 2:]) - inner
    overlap = inner / union - (around - union) / around
    return of_classes + tf.reduce_sum(has_object * (1 - overlap)) / count


def _area(top_left: Any, bottom_right: Any) -> Any:
    return tf.reduce_prod(tf.maximum(bottom_right - top_left, 0), axis=-1)


if __name__ == "__main__":
    from trained.export import save_both

    tf.config.experimental.enable_op_determinism()
    save_both(train(), Path(sys.argv[1]))
