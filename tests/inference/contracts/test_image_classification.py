from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from saved_models import saved, saved_classifier, saved_patch_classifier

from ml_backend.errors import ModelContractError, ModelError
from ml_backend.inference.classifier import Classifier
from ml_backend.inference.contracts import image_classification
from ml_backend.inference.contracts.contract import ImageInput, Signature
from ml_backend.inference.contracts.image_classification import ImageClassification
from ml_backend.inference.runtimes.tensorflow import tf
from ml_backend.vocabularies.class_names import ClassNames
from ml_backend.vocabularies.imagenet import BACKGROUND, imagenet_classes

FIXED = (None, 8, 6, 3)


def image(shape: Any = FIXED, dtype: Any = tf.float32, name: str = "inputs") -> Any:
    """Return the description of an image input."""
    return tf.TensorSpec(shape, dtype, name=name)


LOGITS = {"logits": tf.zeros([1, 5])}


@pytest.mark.parametrize(
    ("outputs", "given", "expected"),
    [
        (LOGITS, image(), ("inputs", (8, 6), "logits", 5)),
        (LOGITS, image((1, 8, 6, 3)), ("inputs", (8, 6), "logits", 5)),
        ({"default": tf.zeros([1, 1001])}, image(name="images"), ("images", (8, 6), "default", 1001)),
        ({"dense": tf.zeros([1, 1])}, image(), ("inputs", (8, 6), "dense", 1)),
    ],
    ids=["any batch size", "one image", "other names", "one output: the outputs tell what that is"],
)
def test_contract_is_recognised_from_the_signature(
    signature: Callable[..., Signature], outputs: dict[str, Any], given: Any, expected: tuple[Any, ...]
) -> None:
    """Types and shapes decide, names do not."""
    contract = image_classification.recognise(signature(outputs, given))
    assert contract is not None
    assert (contract.input.name, contract.input.size, contract.output, contract.class_count) == expected
    assert contract.outputs == (contract.output,)


@pytest.mark.parametrize(
    ("outputs", "given"),
    [
        (LOGITS, [image((None, None, None, 3))]),
        (LOGITS, [image((None, 8, None, 3))]),
        (LOGITS, [image((None, 8, 6, 1))]),
        (LOGITS, [image((None, 8, 6, None))]),
        (LOGITS, [image((4, 8, 6, 3))]),
        (LOGITS, [image((8, 6, 3))]),
        (LOGITS, [image(None)]),
        (LOGITS, [image(dtype=tf.uint8)]),
        (LOGITS, [image(dtype=tf.string)]),
        (LOGITS, [image(), tf.TensorSpec([], tf.bool, name="training")]),
        ({"logits": tf.zeros([1, 5]), "features": tf.zeros([1, 9])}, [image()]),
        ({"logits": tf.zeros([5])}, [image()]),
        ({"logits": tf.zeros([1, 4, 4, 5])}, [image()]),
        ({"logits": tf.zeros([1, 5], tf.int64)}, [image()]),
    ],
    ids=[
        "any size",
        "any width",
        "grey images",
        "any number of channels",
        "batches of four",
        "no batch",
        "no shape",
        "bytes",
        "encoded images",
        "two inputs",
        "two outputs",
        "no batch of outputs",
        "a map of features",
        "whole numbers",
    ],
)
def test_other_signatures_are_no_classifiers(
    signature: Callable[..., Signature], outputs: dict[str, Any], given: list[Any]
) -> None:
    """Where the size of the input or the meaning of the output is unknown, nothing is guessed."""
    assert image_classification.recognise(signature(outputs, *given)) is None


def names_of(count: int, first: int = 1) -> ClassNames:
    """Return a list of so many names."""
    return ClassNames("own.txt", {number: f"part {number}" for number in range(first, first + count)})


PIXELS = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8)


def test_softmax_is_applied_exactly_once(tmp_path: Path) -> None:
    """A model with logits and the same model with a softmax as its last layer have the same probabilities."""
    loaded = [
        Classifier.load(
            saved_classifier(tmp_path / each.__name__, 5, activation=each),
            tmp_path,
            workers=1,
            class_names=names_of(5),
        )
        for each in (tf.identity, tf.nn.softmax)
    ]
    from_logits, from_probabilities = (each.run(PIXELS).probabilities for each in loaded)
    assert [str(each.contract).split()[-1] for each in loaded] == ["(logits)", "(probabilities)"]
    assert from_logits.tolist() == pytest.approx(from_probabilities.tolist(), abs=1e-6)
    resized = tf.image.resize(PIXELS[None].astype(np.float32) / 255, (8, 6))
    logits = loaded[0].module.signatures["serving_default"](inputs=resized)["logits"].numpy()[0].astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum()
    assert from_logits.tolist() == pytest.approx(expected.tolist(), abs=1e-6)
    assert 0.02 < expected.max() < 0.999  # else a second softmax would hardly show


@pytest.mark.parametrize("value", [0, 1, 128, 255])
def test_whole_image_is_resized_to_values_up_to_one(tmp_path: Path, value: int) -> None:
    """Both sides to the input, whatever the proportions; white is 1."""

    def classify(images: Any) -> dict[str, Any]:
        corners = tf.stack([images[:, 0, 0, 0], images[:, -1, -1, 2], -tf.reduce_max(images, [1, 2, 3])], axis=1)
        return {"logits": tf.math.log(tf.abs(corners) + 1e-9)}

    folder = saved(tmp_path, classify, image((None, 5, 7, 3)))
    classifier = Classifier.load(folder, tmp_path, workers=1, class_names=names_of(3))
    pixels = np.full((90, 30, 3), value, np.uint8)
    found = classifier.run(pixels, (3000, 9000))
    assert found.probabilities.tolist() == pytest.approx([1 / 3] * 3, abs=1e-5)
    logits = classifier.function(pixels)["logits"]
    assert np.exp(logits).tolist() == [pytest.approx([value / 255] * 3, abs=1e-6)]
    assert (found.width, found.height) == (3000, 9000)


def contract_of(count: int) -> ImageClassification:
    """Return a contract without classes."""
    return ImageClassification("serving_default", ImageInput("inputs", size=(8, 6)), "logits", count)


def outputs_of(*numbers: float, count: int | None = None) -> dict[str, Any]:
    """Return an output row; the rest of ``count`` is filled with zeros."""
    row = [*numbers, *[0.0] * ((count or len(numbers)) - len(numbers))]
    return {"logits": np.array([row], np.float32)}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(1, 0, 0), (0.25, 0.5, 0.25)], "probabilities"),
        ([(0.999, 0.0005, 0.0), (0.4, 0.3, 0.295)], "probabilities"),
        ([(-1, 1, 1), (0.25, 0.5, 0.25)], "logits"),
        ([(0.25, 0.5, 0.25), (2, 0, -1)], "logits"),
        ([(0, 0, 0), (7, 1, 0)], "logits"),
    ],
    ids=[
        "their sum is 1",
        "as far as half precision goes",
        "a negative number",
        "by chance on one image",
        "none is negative, and one is large",
    ],
)
def test_probabilities_are_told_from_logits_by_the_warm_up(rows: list[tuple[float, ...]], expected: str) -> None:
    """What holds for two quite different images is no chance."""
    prepared = contract_of(3).with_classes([outputs_of(*row) for row in rows], names_of(3))
    assert str(prepared.contract).endswith(f"logits [1,3] ({expected})")


@pytest.mark.parametrize(
    ("count", "row", "words"),
    [
        (3, (0.9, 0.8, 0.1), "independent scores"),
        (3, (0.0, 0.0, 0.0), "independent scores"),
        (2, (0.9, 0.8), "independent scores"),
        (1, (0.7,), "one output"),
        (1, (1.0,), "one output"),
        (1, (-3.0,), "one output"),
        (3, (np.nan, 0.5, 0.5), "NaN or infinity for an empty image"),
        (3, (np.inf, 0.5, 0.5), "NaN or infinity for an empty image"),
        (1280, (0.0, 3.1, 0.7), "has 1280 outputs, so its classes are not those of ImageNet: name a list"),
        (999, (5.0,), "has 999 outputs"),
        (1002, (5.0,), "has 1002 outputs"),
    ],
    ids=[
        "sigmoid",
        "all zero",
        "two sigmoids",
        "one sigmoid",
        "a softmax of one",
        "one logit",
        "NaN",
        "infinity",
        "a feature vector",
        "less than ImageNet",
        "more than ImageNet",
    ],
)
def test_what_cannot_be_probabilities_is_refused_at_the_start(count: int, row: tuple[float, ...], words: str) -> None:
    """Else each image would get confident nonsense. None of these needs a list to be refused."""
    with pytest.raises(ModelContractError, match=words):
        contract_of(count).with_classes([outputs_of(*row, count=count)] * 2, None)


@pytest.mark.parametrize("activation", [tf.nn.sigmoid, lambda logits: logits * np.nan], ids=["sigmoid", "NaN"])
def test_refusal_at_the_start_names_the_model(tmp_path: Path, activation: Callable[[Any], Any]) -> None:
    """Known after the warm-up, before the first image."""
    folder = saved_classifier(tmp_path, 5, activation=activation)
    with pytest.raises(ModelContractError, match="cannot be used: the classifier returns") as caught:
        Classifier.load(folder, tmp_path, workers=1, class_names=names_of(5))
    assert str(caught.value).startswith(folder)


@pytest.mark.parametrize(
    ("count", "names", "first", "last"),
    [
        (1000, None, "tench", "toilet tissue"),
        (1001, None, "background", "toilet tissue"),
        (1001, names_of(3), "background", "toilet tissue"),
        (1001, names_of(1001), "part 1", "part 1001"),
        (1001, names_of(1000), "background", "part 1000"),
        (1000, names_of(1000, 0), "part 0", "part 999"),
        (5, names_of(5), "part 1", "part 5"),
        (5, names_of(4), "background", "part 4"),
        (1280, names_of(1280), "part 1", "part 1280"),
    ],
    ids=[
        "ImageNet",
        "ImageNet with a background",
        "a list that is for the detector",
        "a list of that length",
        "a list without the background",
        "a list from 0",
        "own classes",
        "own classes without the background",
        "a list says that it is no feature vector",
    ],
)
def test_classes_are_those_of_the_list_or_of_imagenet(
    count: int, names: ClassNames | None, first: str, last: str
) -> None:
    """A list that fits goes first."""
    prepared = contract_of(count).with_classes([outputs_of(5, -1, count=count)] * 2, names)
    classes = prepared.contract.classes
    assert (classes[0].name, classes[-1].name, len(classes)) == (first, last, count)
    assert prepared.uses_class_names is ("part" in last)
    assert prepared.note == ""


def test_own_classes_have_the_synset_of_their_name() -> None:
    """So a choice Dog finds them through the hierarchy."""
    names = ClassNames("own.txt", {1: "Beagle", 2: "automobile", 3: "weld seam"})
    prepared = contract_of(4).with_classes([outputs_of(5, -1, count=4)] * 2, names)
    assert prepared.contract.classes == (
        BACKGROUND,
        ("Beagle", "n02088364"),
        ("automobile", "n02958343"),
        ("weld seam", ""),
    )


def test_list_of_another_length_is_named_with_both_lengths() -> None:
    """So a person sees which line is missing."""
    with pytest.raises(ModelContractError, match=r"has 5 outputs, .* own\.txt has 3 names, numbered from 1 to 3: name"):
        contract_of(5).with_classes([outputs_of(5, -1, count=5)] * 2, names_of(3))


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        (outputs_of(1, np.nan, 2), "returned NaN or infinity"),
        (outputs_of(1, -np.inf, 2), "returned NaN or infinity"),
        (outputs_of(1, 2), r"returned \[1, 2\]; expected \[1, 3\]"),
        ({"logits": np.zeros([2, 3], np.float32)}, r"returned \[2, 3\]"),
        ({"logits": np.zeros([3], np.float32)}, r"returned \[3\]"),
    ],
    ids=["NaN", "infinity", "too few", "two images", "no batch"],
)
def test_other_outputs_are_an_error_of_the_image(outputs: dict[str, Any], words: str) -> None:
    """And of no other image."""
    contract = contract_of(3).with_classes([outputs_of(5, -1, 0)] * 2, names_of(3)).contract
    with pytest.raises(ModelError, match=words):
        contract.read(outputs, 640, 480)


@pytest.mark.parametrize(
    ("rows", "numbers", "expected"),
    [
        ([(5, -1, 0)], (1000, 999, -1000), (0.7311, 0.2689, 0)),
        ([(5, -1, 0)], (-1000, -1000, -1000), (1 / 3, 1 / 3, 1 / 3)),
        ([(5, -1, 0)], (3e38, -3e38, 0), (1, 0, 0)),
        ([(0.5, 0.5, 0)], (1.0001, -0.0001, 0), (1, 0, 0)),
    ],
    ids=["large logits", "small logits", "the largest logits", "probabilities a hair beyond"],
)
def test_probabilities_are_within_bounds(
    rows: list[tuple[float, ...]], numbers: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    """Rounding and overflow make no error."""
    contract = contract_of(3).with_classes([outputs_of(*row) for row in rows], names_of(3)).contract
    found = contract.read(outputs_of(*numbers), 640, 480).probabilities
    assert found.tolist() == pytest.approx(expected, abs=1e-4)


def test_classifier_like_the_published_ones_has_the_classes_of_imagenet(tmp_path: Path) -> None:
    """1001 logits, the background first."""
    classifier = Classifier.load(saved_patch_classifier(tmp_path / "model"), tmp_path, workers=2)
    assert classifier.classes == (BACKGROUND, *imagenet_classes())
    assert str(classifier.contract) == (
        "signature 'serving_default': inputs float32 [1,128,128,3] -> logits [1,1001] (logits)"
    )
