from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from saved_models import saved, saved_classifier, saved_detector

from ml_backend.errors import ModelContractError
from ml_backend.inference.contracts.contract import Contract, Signature, Tensor
from ml_backend.inference.contracts.image_classification import ImageClassification
from ml_backend.inference.contracts.object_detection_api import ObjectDetectionApi
from ml_backend.inference.contracts.openimages_v4 import OpenImagesV4
from ml_backend.inference.contracts.registry import recognise_classifier, recognise_detector
from ml_backend.inference.runtimes.tensorflow import signatures, tf

ANY_SIZE = (1, None, None, 3)
IMAGES = {"images": Tensor("float32", ANY_SIZE)}
OPEN_IMAGES = {
    "detection_boxes": Tensor("float32", (100, 4)),
    "detection_scores": Tensor("float32", (100,)),
    "detection_class_labels": Tensor("int64", (100,)),
}
OBJECT_DETECTION = {
    "detection_boxes": Tensor("float32", (1, None, 4)),
    "detection_scores": Tensor("float32", (1, None)),
    "detection_classes": Tensor("float32", (1, None)),
    "num_detections": Tensor("float32", (1,)),
}
FIXED = {"inputs": Tensor("float32", (None, 128, 128, 3))}
LOGITS = {"logits": Tensor("float32", (None, 1001))}


@pytest.mark.parametrize(
    ("signatures", "expected"),
    [
        ([Signature("default", IMAGES, OPEN_IMAGES)], (OpenImagesV4, "default")),
        ([Signature("serving_default", IMAGES, OBJECT_DETECTION)], (ObjectDetectionApi, "serving_default")),
        ([Signature("a", IMAGES, OPEN_IMAGES), Signature("default", IMAGES, OPEN_IMAGES)], (OpenImagesV4, "default")),
        ([Signature("b", IMAGES, OPEN_IMAGES), Signature("a", IMAGES, OPEN_IMAGES)], (OpenImagesV4, "a")),
        (
            [Signature("default", IMAGES, OBJECT_DETECTION), Signature("named", IMAGES, OPEN_IMAGES)],
            (OpenImagesV4, "named"),
        ),
        (
            [Signature("default", FIXED, LOGITS), Signature("detect", IMAGES, OBJECT_DETECTION)],
            (ObjectDetectionApi, "detect"),
        ),
    ],
    ids=[
        "Open Images",
        "Object Detection API",
        "default goes first",
        "then the order of the names",
        "a contract with names goes before one with numbers",
        "a classifier beside it",
    ],
)
def test_detector_is_found_among_signatures(signatures: list[Signature], expected: tuple[type, str]) -> None:
    """In an order that does not depend on that of the model."""
    for order in (signatures, signatures[::-1]):
        found = recognise_detector(order, "handle")
        assert (type(found), found.signature) == expected


def test_classifier_is_found_among_signatures() -> None:
    """A module of TensorFlow Hub has its feature vector, with many outputs, beside it."""
    features = Signature("a_feature_vector", FIXED, {**LOGITS, "global_pool": Tensor("float32", (None, 1, 1, 1280))})
    found = recognise_classifier([features, Signature("classify", FIXED, LOGITS)], "handle")
    assert (type(found), found.signature) == (ImageClassification, "classify")


Recognise = Callable[[list[Signature], str], Contract[Any]]


@pytest.mark.parametrize(
    ("recognise", "save", "words"),
    [
        (recognise_detector, lambda folder: saved_classifier(folder, 5), "is a classifier and not a detector: give it as PRELABEL_CLASSIFIER"),
        (recognise_classifier, saved_detector, "is a detector and not a classifier: give it as PRELABEL_MODEL"),
    ],
    ids=["a classifier as PRELABEL_MODEL", "a detector as PRELABEL_CLASSIFIER"],
)  # fmt: skip
def test_models_in_each_others_place_are_told_where_they_belong(
    tmp_path: Path, recognise: Recognise, save: Callable[[Path], str], words: str
) -> None:
    """The likeliest mistake with two settings."""
    found = signatures(tf.saved_model.load(save(tmp_path)))
    with pytest.raises(ModelContractError, match=words) as caught:
        recognise(found, "some/handle")
    assert str(caught.value).startswith("some/handle is a ")
    assert "It offers: serving_default(" in str(caught.value)


@pytest.mark.parametrize(
    ("recognise", "words"),
    [
        (recognise_detector, r"not a detector of the openimages_v4 contract .*, or the TensorFlow 2 Object Detection API"),
        (recognise_classifier, r"not a classifier of the form of TensorFlow Hub \(one float32 \[N,H,W,3\]"),
    ],
    ids=["detector", "classifier"],
)  # fmt: skip
def test_other_models_are_refused_with_the_contracts_and_what_is_offered(
    tmp_path: Path, recognise: Recognise, words: str
) -> None:
    """A model of texts belongs nowhere."""
    folder = saved(tmp_path, lambda texts: {"length": tf.strings.length(texts)}, tf.TensorSpec([None], tf.string))
    found = signatures(tf.saved_model.load(folder))
    with pytest.raises(ModelContractError, match=words) as caught:
        recognise(found, "some/handle")
    assert "-> length int32 (None,)" in str(caught.value)
