from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from saved_models import ANY_SIZE, saved, saved_classifier, saved_detector

from ml_backend.errors import ModelContractError, ModelError, ModelLoadError
from ml_backend.inference.classifier import Classifier
from ml_backend.inference.detector import Detector
from ml_backend.inference.loaded_model import LoadedModel
from ml_backend.inference.runtimes.tensorflow import tf
from ml_backend.vocabularies.class_names import ClassNames

THREE = ClassNames("three.txt", {1: "a", 2: "b", 3: "c"})
OTHER_THREE = ClassNames("other.txt", {1: "a", 2: "c", 3: "b"})


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Detector, r"the detector .* name a folder or .tar.gz on this machine \(PRELABEL_MODEL=/path/to/module\)"),
        (Classifier, r"the classifier .* on this machine \(PRELABEL_CLASSIFIER=/path/to/module\)"),
    ],
)
def test_model_that_is_not_there_names_its_setting(tmp_path: Path, kind: type[LoadedModel[Any]], words: str) -> None:
    """With two models, a person has to know which one it is about."""
    with pytest.raises(ModelLoadError, match=words):
        kind.load(str(tmp_path / "none"), tmp_path, workers=1)


@pytest.mark.parametrize(
    ("kind", "save", "words"),
    [
        (Detector, lambda folder: saved_classifier(folder, 5), "is a classifier .*: give it as PRELABEL_CLASSIFIER"),
        (Classifier, saved_detector, "is a detector .*: give it as PRELABEL_MODEL"),
    ],
)
def test_model_in_the_place_of_the_other_is_refused(
    tmp_path: Path, kind: type[LoadedModel[Any]], save: Callable[[Path], str], words: str
) -> None:
    """Before it runs for the first time."""
    with pytest.raises(ModelContractError, match=words):
        kind.load(save(tmp_path), tmp_path, workers=1)


def test_model_that_fails_at_the_warm_up_is_refused(tmp_path: Path) -> None:
    """A graph that no image gets through is an error of the start, and not of each image."""

    def detect(images: Any) -> dict[str, Any]:
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_any(images > 300), ["no image is that bright"])]):
            rows = tf.zeros([1, 1])
        return {
            "detection_boxes": tf.zeros([1, 1, 4]),
            "detection_scores": rows,
            "detection_classes": rows,
            "num_detections": rows[0],
        }

    folder = saved(tmp_path, detect, tf.TensorSpec(ANY_SIZE, tf.float32))
    with pytest.raises(ModelLoadError, match="loads, but fails on an empty image: ") as caught:
        Detector.load(folder, tmp_path, workers=1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "more",
    [
        {"num_detections": tf.constant([np.nan])},
        {"detection_classes": tf.constant([[np.nan, 1.0]])},
        {"detection_classes": tf.constant([[np.inf, 1.0]])},
    ],
    ids=["count", "class", "infinite class"],
)
def test_detector_whose_numbers_are_none_is_refused_at_the_start(tmp_path: Path, more: dict[str, Any]) -> None:
    """A broken export; a list or COCO makes no difference."""
    with pytest.raises(ModelContractError, match="cannot be used: the detector returned NaN or infinity"):
        Detector.load(saved_detector(tmp_path, **more), tmp_path, workers=1)


def test_result_that_is_no_number_is_an_error_of_that_image_only(tmp_path: Path) -> None:
    """Others at the same time have their answers."""

    def classify(images: Any) -> dict[str, Any]:
        means = tf.reduce_mean(images, axis=[1, 2])
        return {"logits": tf.where(means > 0.99, np.nan, means * 7)}

    folder = saved(tmp_path, classify, tf.TensorSpec((None, 8, 8, 3), tf.float32))
    classifier = Classifier.load(folder, tmp_path, workers=2, class_names=THREE)
    values = [*range(0, 256, 5)] * 4

    def run(value: int) -> float | str:
        try:
            return float(classifier.run(np.full((20, 20, 3), [value, 0, 0], np.uint8)).probabilities[0])
        except ModelError as error:
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(run, values))
    for value, each in zip(values, found, strict=True):
        if value == 255:
            assert each == "the classifier returned NaN or infinity"
        else:
            weight = np.exp(7 * value / 255)
            assert each == pytest.approx(weight / (weight + 2), abs=1e-5)


def fingerprints(kind: type[LoadedModel[Any]], folder: str, *lists: ClassNames | None) -> list[str]:
    """Return the fingerprints of one model with several class lists."""
    return [kind.load(folder, Path(folder), workers=1, class_names=each).fingerprint for each in lists]


def test_class_list_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    """Cached results hold names, so results of another list must not be found. The same list has the same fingerprint."""
    detector = saved_detector(tmp_path / "detector")
    without, first, again, other = fingerprints(Detector, detector, None, THREE, THREE, OTHER_THREE)
    assert first == again
    assert len({without, first, other}) == 3
    classifier = saved_classifier(tmp_path / "classifier", 3)
    first, again, other = fingerprints(Classifier, classifier, THREE, THREE, OTHER_THREE)
    assert first == again != other
    assert {len(each) for each in (without, first, other)} == {64}


def test_class_list_that_is_not_used_is_no_part_of_the_fingerprint(tmp_path: Path) -> None:
    """It belongs to the other model, and results without it stay good."""
    folder = saved_classifier(tmp_path, 1001)
    assert len(set(fingerprints(Classifier, folder, None, THREE))) == 1


def test_class_list_that_a_detector_does_not_need_leaves_its_fingerprint(trained_detector: Detector) -> None:
    """A list that is given for another model changes nothing: it names its classes itself."""
    again = Detector.load(trained_detector.handle, Path(trained_detector.handle), workers=2, class_names=THREE)
    assert again.fingerprint == trained_detector.fingerprint
    assert not again.uses_class_names
