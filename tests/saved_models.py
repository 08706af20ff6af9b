"""SavedModels that tests build: small detectors and classifiers with known answers."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ml_backend.inference.runtimes.tensorflow import tf

ANY_SIZE = (1, None, None, 3)


def saved(folder: Path, answer: Callable[[Any], dict[str, Any]], image: Any, key: str = "serving_default") -> str:
    """Save a function from images to outputs as a SavedModel, and return its folder.

    Args:
        folder: of the model.
        answer: makes the outputs by name.
        image: the description of its input.
        key: name of the signature.
    """
    module = tf.Module()
    module.answer = tf.function(answer, input_signature=[image])
    tf.saved_model.save(module, str(folder), signatures={key: module.answer})
    return str(folder)


def saved_detector(
    folder: Path,
    *,
    numbers: Sequence[float] = (1, 2),
    dtype: Any = tf.uint8,
    raw_classes: int | None = None,
    **more: Any,
) -> str:
    """Save a detector of the Object Detection API, with one row for each class number, and return its folder.

    The score of all rows is the red of the first pixel divided by 255, at least 0.5; the boxes are the same each time.

    Args:
        folder: of the model.
        numbers: class numbers of the rows.
        dtype: of the image.
        raw_classes: number of classes, without the background, that ``raw_detection_scores`` have; None for no such output.
        more: further or other outputs by name.
    """
    rows = len(numbers)
    if raw_classes is not None:
        more["raw_detection_scores"] = tf.zeros([1, 7, raw_classes + 1])

    def detect(images: Any) -> dict[str, Any]:
        red = tf.cast(images[0, 0, 0, 0], tf.float32) / 255
        return {
            "detection_boxes": tf.tile(tf.constant([[[0.25, 0.125, 0.75, 0.5]]]), [1, rows, 1]),
            "detection_scores": tf.fill([1, rows], tf.maximum(red, 0.5)),
            "detection_classes": tf.constant([numbers], tf.float32),
            "num_detections": tf.constant([rows], tf.float32),
            **more,
        }

    return saved(folder, detect, tf.TensorSpec(ANY_SIZE, dtype, name="input_tensor"))


def saved_classifier(
    folder: Path,
    outputs: int,
    *,
    activation: Callable[[Any], Any] = tf.identity,
    size: tuple[int, int] = (8, 6),
    scale: float = 5,
) -> str:
    """Save a classifier, and return its folder. Its logits are random sums of the mean red, green and blue and a constant.

    Args:
        folder: of the model.
        outputs: their number.
        activation: of the logits.
        size: height and width of the input.
        scale: of the logits.
    """
    weights = tf.constant(np.random.default_rng(1).normal(size=(4, outputs)) * scale, tf.float32)

    def classify(images: Any) -> dict[str, Any]:
        means = tf.reduce_mean(images, axis=[1, 2])
        features = tf.concat([means, tf.ones_like(means[:, :1])], axis=1)
        return {"logits": activation(features @ weights)}

    return saved(folder, classify, tf.TensorSpec((None, *size, 3), tf.float32, name="inputs"))


def saved_patch_classifier(folder: Path) -> str:
    """Save a classifier of 1001 classes as the published ones are, callable, and return its folder.

    Its logits are random sums of the means of 8 x 8 patches, so it matters where in the image, 128 x 128 pixels, a colour is.
    """
    weights = tf.constant(np.random.default_rng(2).normal(size=(16 * 16 * 3, 1001)) * 4, tf.float32)
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec((None, 128, 128, 3), tf.float32, name="inputs")])  # type: ignore[untyped-decorator]
    def classify(inputs: Any) -> Any:
        patches = tf.nn.avg_pool2d(inputs - 0.8, 8, 8, "VALID")
        return tf.reshape(patches, [-1, 16 * 16 * 3]) @ weights

    def named(inputs: Any) -> dict[str, Any]:
        return {"logits": classify(inputs)}

    module.__call__ = classify
    signature = tf.function(named, input_signature=classify.input_signature).get_concrete_function()
    tf.saved_model.save(module, str(folder), signatures={"serving_default": signature})
    return str(folder)
