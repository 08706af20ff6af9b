"""A tiny classifier in the contract of the published ones: the mean colour of an image decides on its class of ImageNet."""

from pathlib import Path

import numpy as np

CLASSES = {"tree frog": 32, "balloon": 418, "lakeside": 976}
"""Class and output of images that are mostly green, red and blue."""

OUTPUTS = 1001
SIDE = 8  # pixels, of the input


def build(folder: Path) -> Path:
    """Save the classifier and return its folder. Its logits are ten times the channels' means, and -20 for all other classes."""
    from ml_backend.inference.runtimes.tensorflow import tf

    weights = np.zeros([3, OUTPUTS], np.float32)
    for channel, output in enumerate((CLASSES["balloon"], CLASSES["tree frog"], CLASSES["lakeside"])):
        weights[channel, output] = 10
    bias = np.where(weights.any(axis=0), 0, -20).astype(np.float32)
    module = tf.Module()
    module.classify = tf.function(
        lambda inputs: {"logits": tf.linalg.matmul(tf.reduce_mean(inputs, axis=[1, 2]), weights) + bias},
        input_signature=[tf.TensorSpec([None, SIDE, SIDE, 3], tf.float32, name="inputs")],
    )
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.classify})
    return folder
