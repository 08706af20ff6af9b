"""A classifier for drawn pictures, built by the tests: it tells balloons from grey, in the contract of the published ones."""

from pathlib import Path
from typing import Any

SIZE = 32  # pixels, the sides of its input

WHAT = '<Choices name="what" toName="image" model_source="classifier"><Choice value="Balloon"/><Choice value="Umbrella"/></Choices>'
CHOICES_CONFIG = f'<View><Image name="image" value="$image"/>{WHAT}</View>'
BOTH_CONFIG = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
    f'<Label value="Balloon"/><Label value="Kite"/><Label value="Box"/></RectangleLabels>{WHAT}</View>'
)


def build(folder: Path, *, background: bool = False) -> Path:
    """Save the classifier as a SavedModel with 1000 outputs, those of ImageNet; returns its folder.

    The stronger the colour of a picture, the more it is a balloon; the weaker, the more an umbrella, or the background, which then is a
    further output in front.
    """
    from ml_backend.inference.runtimes.tensorflow import tf
    from ml_backend.vocabularies.imagenet import imagenet_classes

    names = [each.name for each in imagenet_classes()]
    names = ["background", *names] if background else names
    grey = "background" if background else "umbrella"
    balloon, other = (tf.one_hot(names.index(name), len(names)) for name in ("balloon", grey))

    def classify(images: Any) -> dict[str, Any]:
        strength = tf.reduce_max(images, axis=-1) - tf.reduce_min(images, axis=-1)
        evidence = 200 * tf.reduce_mean(strength, axis=[1, 2])[:, None]
        return {"logits": evidence * balloon + (9 - evidence) * other}

    module = tf.Module()
    module.classify = tf.function(classify, input_signature=[tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32)])
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.classify})
    return folder
