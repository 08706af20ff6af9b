"""Saves the tests' own detector in the two formats of published detectors."""

from pathlib import Path
from typing import Any

from trained.network import Weights, detect
from trained.pictures import CLASSES

from ml_backend.inference.runtimes.tensorflow import tf
from ml_backend.vocabularies.open_images import open_images_classes


def texts() -> dict[str, list[str]]:
    """Return names and MIDs of the classes, by the output that has them."""
    known = open_images_classes()
    mids = [known.ids[known.names.index(name)] for name in CLASSES]
    return {"detection_class_entities": list(CLASSES), "detection_class_names": mids}


def save_both(weights: Weights, folder: Path) -> None:
    """Save the detector in one folder for each format."""
    save_hub_module(weights, folder / "hub")
    save_saved_model(weights, folder / "savedmodel")


def save_saved_model(weights: Weights, folder: Path) -> None:
    """Save a TF2 SavedModel; names come from vectors."""
    module = tf.Module()
    module.weights = [(tf.Variable(kernel), tf.Variable(bias)) for kernel, bias in weights]
    known = texts()

    def found(images: Any) -> dict[str, Any]:
        return detect(images, module.weights, lambda output, numbers: tf.gather(tf.constant(known[output]), numbers))

    images = tf.TensorSpec([1, None, None, 3], tf.float32, name="images")
    module.detect = tf.function(found, input_signature=[images])
    tf.saved_model.save(module, str(folder), signatures={"default": module.detect})


def save_hub_module(weights: Weights, folder: Path) -> None:
    """Save a module of TensorFlow Hub's first format, as the published one is: a graph without tags whose tables need their initializer."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        images = v1.placeholder(tf.float32, [1, None, None, 3], name="images")
        variables: Weights = [
            (v1.get_variable(f"kernel{n}", initializer=kernel), v1.get_variable(f"bias{n}", initializer=bias))
            for n, (kernel, bias) in enumerate(weights)
        ]
        known = texts()
        tables = {
            output: tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(tf.range(len(CLASSES), dtype=tf.int64), tf.constant(values)), ""
            )
            for output, values in known.items()
        }
        outputs = detect(images, variables, lambda output, numbers: tables[output].lookup(numbers))
        session.run([v1.global_variables_initializer(), v1.tables_initializer()])
        signature = v1.saved_model.build_signature_def(
            {"images": v1.saved_model.build_tensor_info(images)},
            {name: v1.saved_model.build_tensor_info(each) for name, each in outputs.items()},
        )
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, [], {"default": signature}, main_op=v1.tables_initializer())
        builder.save()
    (folder / "tfhub_module.pb").write_bytes(b"\x08\x03")  # the number of that format
