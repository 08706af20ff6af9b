from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_backend.errors import ModelContractError, ModelError
from ml_backend.inference.contracts.contract import ImageInput
from ml_backend.inference.contracts.openimages_v4 import OpenImagesV4
from ml_backend.inference.contracts.registry import recognise_detector
from ml_backend.inference.runtimes.tensorflow import signatures, tf

ROWS = 3
ANY_SIZE = (1, None, None, 3)

BOXES = tf.zeros([ROWS, 4])
SCORES = tf.zeros([ROWS])
NAMES = tf.constant(["Person"] * ROWS)
NUMBERS = tf.ones([ROWS], tf.int64)
GOOD = {"detection_boxes": BOXES, "detection_scores": SCORES, "detection_class_entities": NAMES}


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Any]:
    """Give a function that saves a module with constant outputs, loads it, and returns its signatures."""

    def save(outputs_by_key: dict[str, Any], *inputs: Any) -> Any:
        def answer(outputs: Any) -> Any:
            return tf.function(lambda *_: outputs, input_signature=inputs)

        module = tf.Module()
        module.functions = {key: answer(outputs) for key, outputs in outputs_by_key.items()}
        tf.saved_model.save(module, str(tmp_path), signatures=module.functions)
        return signatures(tf.saved_model.load(str(tmp_path)))

    return save


def image(shape: Any = ANY_SIZE, dtype: Any = tf.float32, name: str = "images") -> Any:
    """Return the description of an image input."""
    return tf.TensorSpec(shape, dtype, name=name)


@pytest.mark.parametrize(
    ("outputs", "given", "expected"),
    [
        ({"default": GOOD}, image(), ("default", "images")),
        ({"serving_default": GOOD}, image(), ("serving_default", "images")),
        ({"a": {"x": SCORES}, "b": GOOD}, image(), ("b", "images")),
        ({"default": GOOD}, image(name="picture"), ("default", "picture")),
        ({"default": GOOD}, image((None, None, None, 3)), ("default", "images")),
        (
            {"default": {"detection_boxes": BOXES, "detection_scores": SCORES, "detection_class_labels": NUMBERS}},
            image(),
            ("default", "images"),
        ),
    ],
    ids=["default", "other key", "second signature", "other input name", "any batch size", "class numbers only"],
)
def test_contract_is_recognised_from_the_signature(
    saved: Callable[..., Any], outputs: dict[str, Any], given: Any, expected: tuple[str, str]
) -> None:
    """Keys and input names may differ; types and shapes decide."""
    contract = recognise_detector(saved(outputs, given), "handle")
    assert (contract.signature, contract.input.name) == expected


THRESHOLD = tf.TensorSpec([], tf.float32, name="threshold")


@pytest.mark.parametrize(
    ("outputs", "given", "words"),
    [
        ({"vector": SCORES}, [image()], r"default\(images float32 .*\) -> vector float32 \(3,\)"),
        (GOOD, [image(dtype=tf.uint8, name="input_tensor")], "input_tensor uint8"),
        (GOOD, [image((1, 300, 300, 3))], r"\(1, 300, 300, 3\)"),
        (GOOD, [image((8, None, None, 3))], r"\(8, None"),
        (GOOD, [image(None)], "<unknown>"),
        ({"detection_boxes": BOXES, "detection_scores": SCORES}, [image()], "detection_boxes"),
        ({**GOOD, "detection_boxes": tf.zeros([1, ROWS, 4])}, [image()], r"\(1, 3, 4\)"),
        ({**GOOD, "detection_class_entities": tf.zeros([ROWS])}, [image()], "detection_class_entities float32"),
        (GOOD, [image(), THRESHOLD], "threshold float32"),
    ],
    ids=[
        "a feature vector",
        "bytes in (TF2 Object Detection API)",
        "fixed size",
        "batches only",
        "no shape",
        "no class",
        "batched outputs",
        "class of another type",
        "two inputs",
    ],
)
def test_other_contracts_are_refused_with_what_is_offered(
    saved: Callable[..., Any], outputs: dict[str, Any], given: list[Any], words: str
) -> None:
    """A module that loads but does something else is named for what it is."""
    with pytest.raises(ModelContractError, match=words) as caught:
        recognise_detector(saved({"default": outputs}, *given), "some/handle")
    assert str(caught.value).startswith("some/handle loads, but is not a detector")


def test_module_without_signatures_is_refused() -> None:
    """Some modules are for Keras only."""
    with pytest.raises(ModelContractError, match="no signature at all"):
        recognise_detector([], "some/handle")


def texts(*values: str) -> Any:
    """Return a string output."""
    return np.array([value.encode() for value in values], object)


@pytest.mark.parametrize(
    ("entities", "names", "number", "expected"),
    [
        ("Person", "/m/01g317", 69, ("Person", "/m/01g317")),
        ("/m/01g317", "Person", 69, ("Person", "/m/01g317")),
        ("", "/m/01g317", 0, ("Person", "/m/01g317")),
        ("", "", 571, ("Car", "/m/0k4j")),
        ("Car", "", 571, ("Car", "")),
        ("Helmet", "/m/unheard", 3, ("Helmet", "/m/unheard")),
        ("", "/m/unheard", 0, ("/m/unheard", "/m/unheard")),
        ("", "", 0, ("class 0", "")),
        ("/g/11f", "Thing", 0, ("Thing", "/g/11f")),
    ],
    ids=[
        "as the model card says",
        "swapped, as the published models do",
        "name by MID",
        "name and MID by number",
        "a name needs no MID",
        "names of the model's own",
        "nothing but a MID",
        "nothing at all",
        "the other form of MID",
    ],
)
def test_name_and_mid_are_told_apart_by_their_form(
    entities: str, names: str, number: int, expected: tuple[str, str]
) -> None:
    """The field that a text comes in says nothing; ``/m/`` and ``/g/`` do."""
    contract = OpenImagesV4(
        "default", ImageInput("images"), ("detection_class_entities", "detection_class_names", "detection_class_labels")
    )
    outputs = {
        "detection_boxes": np.zeros([1, 4], np.float32),
        "detection_scores": np.array([0.5], np.float32),
        "detection_class_entities": texts(entities),
        "detection_class_names": texts(names),
        "detection_class_labels": np.array([number]),
    }
    found = contract.read(outputs, 640, 480)
    assert (found.class_names[0], found.class_mids[0]) == expected


def test_filler_and_broken_rows_are_left_out() -> None:
    """Rows below the floor and boxes that are no numbers are no detections; a score of a hair over one is one."""
    contract = OpenImagesV4("default", ImageInput("images"), ("detection_class_entities",))
    outputs = {
        "detection_boxes": np.array([[0, 0, 1, 1], [0, 0, np.nan, 1], [0, 0, 1, 1], [0, 0, 1, 1]], np.float32),
        "detection_scores": np.array([1.0000001, 0.9, 0.00099, np.nan], np.float32),
        "detection_class_entities": texts("Car", "Person", "Dog", "Cat"),
    }
    found = contract.read(outputs, 640, 480)
    assert found.class_names == ("Car",)
    assert found.scores.tolist() == [1.0]


def test_outputs_of_other_shapes_are_an_error_of_the_picture() -> None:
    """Shapes that the signature left open can still turn out wrong."""
    contract = OpenImagesV4("default", ImageInput("images"), ("detection_class_entities",))
    outputs = {"detection_boxes": np.zeros([2, 4]), "detection_scores": np.zeros([1, 2])}
    with pytest.raises(ModelError, match=r"boxes \[2, 4\] and scores \[1, 2\]"):
        contract.read(outputs, 640, 480)
