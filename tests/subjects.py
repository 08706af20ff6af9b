"""A classifier for tests, and pictures for it: each subject has a colour, and a drawn picture with a strip of that colour at the bottom is one of it.

The classes are those of ImageNet, so choices are found through WordNet as with a real classifier; the pictures have kites, balloons and boxes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from samples import encoded
from trained.pictures import SIZE, held_out

ELEPHANT, ZEBRA, DOG, BIRD, FOOD, BUS = SUBJECTS = (
    "Indian elephant",
    "zebra",
    "dalmatian",
    "robin",
    "pizza",
    "trolleybus",
)
COLOURS = np.array([(0, 0, 120), (0, 200, 200), (200, 0, 200), (200, 0, 0), (250, 220, 0), (0, 120, 0)]) / 255
MEADOW = (
    np.array([190, 200, 182]) / 255
)  # the colour of the background class, which is about that of drawn pictures there
STRIP = 0.25  # of the height
ROWS, LAST = 32, 6  # rows of the classifier's input, and those that it looks at: within the strip
CERTAINTY = 20  # logits are minus so many times the squared distance of the mean colour from that of a class

# Pictures with kites or balloons that are clearly to be seen, by their numbers; each picture of a test is another one.
CLEAR = (1, 3, 4, 7, 9, 2, 6, 5)


def subject_file(number: int, *subjects: str) -> bytes:
    """Return a drawn picture with a strip of the mean colour of some subjects, as a JPEG file; without subjects it is as it was drawn."""
    image = held_out(max(CLEAR) + 1)[CLEAR[number]].image.copy()
    if subjects:
        red, green, blue = (255 * np.mean([COLOURS[SUBJECTS.index(each)] for each in subjects], axis=0)).astype(int)
        image.paste((red, green, blue), (0, round((1 - STRIP) * SIZE[1]), *SIZE))
    return encoded(image, "JPEG", quality=92)


def build(folder: Path) -> Path:
    """Save the classifier, and return its folder. It has 1001 outputs, the background first."""
    from ml_backend.inference.runtimes.tensorflow import tf
    from ml_backend.vocabularies.imagenet import BACKGROUND, imagenet_classes

    names = [each.name for each in (BACKGROUND, *imagenet_classes())]
    weights, bias = _linear([names.index(name) for name in (BACKGROUND.name, *SUBJECTS)], len(names))
    module = tf.Module()

    def classify(inputs: Any) -> dict[str, Any]:
        return {"logits": tf.reduce_mean(inputs[:, -LAST:], axis=[1, 2]) @ weights + bias}

    images = tf.TensorSpec([None, ROWS, 32, 3], tf.float32, name="inputs")
    module.classify = tf.function(classify, input_signature=[images])
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.classify})
    return folder


def _linear(outputs: Sequence[int], count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return weights and biases of the mean colour; what all logits have in common is left out."""
    means = np.concatenate([MEADOW[None], COLOURS])
    weights, bias = np.zeros((3, count), np.float32), np.full(count, -1000, np.float32)
    weights[:, outputs] = 2 * CERTAINTY * means.T
    bias[outputs] = -CERTAINTY * (means**2).sum(axis=1)
    return weights, bias
