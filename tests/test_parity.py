"""The whole way, over HTTP, finds what the signatures of the models find: same boxes, same average precision, same probabilities.

The models are those of the tests. The tests of boxes run on the shared detector and photographs too, whose figures are published.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from parity import Measured, answered, called_directly, drawn, is_shown, photographs, predicted, served, tasks_of
from picture_server import PictureServer
from PIL import Image
from samples import STORED_BY, stored_as
from saved_models import saved_patch_classifier
from trained.pictures import CLASSES, Picture, held_out

from ml_backend.inference.classifier import Classifier
from ml_backend.inference.contracts.openimages_v4 import SCORE_FLOOR
from ml_backend.inference.detector import Detector
from ml_backend.inference.models import Models
from ml_backend.label_studio.label_config import label_config_for
from ml_backend.pipeline.prediction import Pipeline
from ml_backend.settings import Settings
from ml_backend.vocabularies.class_names import ClassNames
from ml_backend.vocabularies.imagenet import BACKGROUND, imagenet_classes
from ml_backend.vocabularies.open_images import open_images_classes

EVERY_CHOICE = label_config_for((), (BACKGROUND, *imagenet_classes()))


@pytest.fixture(
    scope="module",
    params=[(kind, model_format) for kind in (drawn, photographs) for model_format in ("hub", "savedmodel")],
    ids=lambda param: f"{param[0].__name__}, {param[1]}",
)
def measured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """Give a detector in each format, and pictures with ground truth."""
    kind, model_format = request.param
    return photographs(model_format) if kind is photographs else drawn(model_format, tmp_path_factory.mktemp("drawn"))


@pytest.fixture(scope="module")
def original(measured: Measured, models_dir: Path) -> Detector:
    """Give the detector, run by TensorFlow."""
    return Detector.load(str(measured.detector), models_dir, workers=2, runtime="tensorflow")


def test_boxes_and_average_precision_equal_those_of_the_signature(
    serve: Callable[..., str], measured: Measured, original: Detector, pictures: PictureServer
) -> None:
    """Every box within 0.05 pixel, AP within 0.001."""
    answers = served(serve(original, model_score_threshold=SCORE_FLOOR), measured, pictures)
    direct = [called_directly(original, pixels) for pixels in measured.pixels()]
    largest = 0.0
    for ours, theirs in zip(answers, direct, strict=True):
        expected = [box for box in theirs if is_shown(box)]
        assert [box["label"] for box in ours] == [box["label"] for box in expected]
        for one, other in zip(ours, expected, strict=True):
            assert one["score"] == pytest.approx(other["score"], abs=1e-4)
            largest = max(largest, float(np.abs(np.subtract(one["edges"], other["edges"])).max()))
    ap, expected_ap = measured.average_precision(answers), measured.average_precision(direct)
    print(f"AP served {ap:.4f}, direct {expected_ap:.4f}; largest difference of an edge {largest:.4f} pixel")  # noqa: T201 - a measure to report
    assert largest < 0.05
    assert ap == pytest.approx(expected_ap, abs=0.001)
    assert ap > measured.least


def test_converted_detector_finds_the_same(
    serve: Callable[..., str], measured: Measured, original: Detector, models_dir: Path, pictures: PictureServer
) -> None:
    """Run by OpenVINO: every box within 0.05 pixel, AP within 0.0005; all EXIF orientations alike.

    Boxes of nearly the same score may change places.
    """
    pytest.importorskip("openvino", reason="there is no OpenVINO for this platform")
    converted = Detector.load(str(measured.detector), models_dir, workers=2, runtime="openvino")
    url = serve(converted, model_score_threshold=SCORE_FLOOR)
    answers = served(url, measured, pictures)
    direct = [called_directly(original, pixels) for pixels in measured.pixels()]
    largest = 0.0
    for ours, theirs in zip(answers, direct, strict=True):
        for box in theirs:
            if is_shown(box, SCORE_FLOOR + 1e-4):
                near = [
                    float(np.abs(np.subtract(each["edges"], box["edges"])).max())
                    for each in ours
                    if each["label"] == box["label"] and abs(each["score"] - box["score"]) < 2e-4
                ]
                largest = max(largest, min(near, default=np.inf))
    ap, expected_ap = measured.average_precision(answers), measured.average_precision(direct)
    print(f"AP {ap:.4f}, by TensorFlow {expected_ap:.4f}; largest difference of an edge {largest:.4f} pixel")  # noqa: T201 - a measure to report
    assert largest < 0.05
    assert ap == pytest.approx(expected_ap, abs=0.0005)

    upright = Image.fromarray(measured.pixels()[0])
    turned = [pictures.add(f"/{each}.png", stored_as(each, upright, "PNG")) for each in STORED_BY]
    first, *others = answered(url, turned)
    assert first
    assert all(other == first for other in others)


def test_all_exif_orientations_give_the_same_boxes_in_the_displayed_frame(
    serve: Callable[..., str], trained_detector: Detector, pictures: PictureServer
) -> None:
    """One picture stored in eight ways, without loss, is displayed once, so it has one answer."""
    upright = max(held_out(10), key=lambda picture: len(picture.objects)).image
    addresses = [
        pictures.add(f"/{orientation}.png", stored_as(orientation, upright, "PNG")) for orientation in STORED_BY
    ]
    first, *others = answered(serve(trained_detector), addresses)
    assert len(first) >= 3
    assert all(other == first for other in others)


def as_object_detection_api(original: Path, folder: Path) -> str:
    """Save the tests' own detector in the contract of the Object Detection API: bytes in, batches and numbers of :data:`NAMED` out."""
    from ml_backend.inference.runtimes.tensorflow import tf

    module = tf.Module()
    module.inside = tf.saved_model.load(str(original))
    detect = module.inside.signatures["default"]
    lines = tf.constant([open_images_classes().names.index(name) + 1 for name in CLASSES], tf.int64)

    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8, name="input_tensor")])  # type: ignore[untyped-decorator]
    def detections(input_tensor: Any) -> Any:
        found = detect(images=tf.cast(input_tensor, tf.float32) / 255)
        scores = found["detection_scores"]
        numbers = tf.argmax(found["detection_class_labels"][:, None] == lines, axis=1) + 1
        return {
            "detection_boxes": found["detection_boxes"][None],
            "detection_scores": scores[None],
            "detection_classes": tf.cast(numbers, tf.float32)[None],
            "num_detections": tf.reduce_sum(tf.cast(scores > 0, tf.float32))[None],
            "raw_detection_scores": tf.zeros([1, 1, len(CLASSES) + 1]),
        }

    module.detections = detections
    tf.saved_model.save(module, str(folder), signatures={"serving_default": detections})
    return str(folder)


NAMED = ClassNames("classes.txt", dict(enumerate(CLASSES, 1)))


def test_boxes_of_both_contracts_are_the_same(
    serve: Callable[..., str], models_dir: Path, tmp_path: Path, pictures: PictureServer
) -> None:
    """60 pictures, one network: every box within 0.05 pixel, whatever the contract."""
    measured = drawn("savedmodel", tmp_path)
    handles = (str(measured.detector), as_object_detection_api(measured.detector, tmp_path / "api"))
    ours, theirs = (
        served(
            serve(Detector.load(handle, models_dir, workers=2, class_names=NAMED), model_score_threshold=SCORE_FLOOR),
            measured,
            pictures,
        )
        for handle in handles
    )
    assert sum(map(len, ours)) > 1000
    largest = 0.0
    for one, other in zip(ours, theirs, strict=True):
        assert [box["label"] for box in one] == [box["label"] for box in other]
        for box, same in zip(one, other, strict=True):
            assert box["score"] == pytest.approx(same["score"], abs=1e-4)
            largest = max(largest, float(np.abs(np.subtract(box["edges"], same["edges"])).max()))
    print(f"{sum(map(len, ours))} boxes; largest difference of an edge {largest:.4f} pixel")  # noqa: T201 - a measure to report
    assert largest < 0.05


OUTPUT_OF = {each.id: output for output, each in enumerate((BACKGROUND, *imagenet_classes()))}


@pytest.fixture(scope="module")
def patch_classifier(models_dir: Path) -> str:
    """Give the folder of a classifier that the place of each colour matters to."""
    return saved_patch_classifier(models_dir / "patch-classifier")


@pytest.fixture(scope="module")
def loaded_classifier(patch_classifier: str, models_dir: Path) -> Classifier:
    """Give the same classifier, loaded."""
    return Classifier.load(patch_classifier, models_dir, workers=2)


@pytest.fixture(scope="module")
def probabilities(patch_classifier: str) -> dict[str, NDArray[np.float32]]:
    """Give the 1001 probabilities of each picture by its name, from the classifier called as TensorFlow Hub documents it."""
    from ml_backend.inference.runtimes.tensorflow import hub, tf

    layer = hub.KerasLayer(patch_classifier)

    def classified(picture: Picture) -> NDArray[np.float32]:
        pixels = np.asarray(Image.open(io.BytesIO(picture.file())))
        row: NDArray[np.float32] = tf.nn.softmax(layer(tf.image.resize(pixels[None] / 255, (128, 128))))[0].numpy()
        return row

    return {picture.name: classified(picture) for picture in held_out(60)}


@pytest.fixture
def addresses(pictures: PictureServer) -> list[str]:
    """Give the addresses of the same pictures."""
    return [pictures.add(f"/{picture.name}", picture.file()) for picture in held_out(60)]


@pytest.mark.parametrize(("runtime", "tolerance"), [("tensorflow", 1e-5), ("openvino", 1e-4)])
async def test_all_probabilities_equal_those_of_the_hub(
    probabilities: dict[str, NDArray[np.float32]],
    patch_classifier: str,
    models_dir: Path,
    addresses: list[str],
    runtime: str,
    tolerance: float,
) -> None:
    """60 pictures: each of 1001 probabilities. HTTP shows only the first 20, so one room below it is asked."""
    classifier = Classifier.load(patch_classifier, models_dir, workers=2, runtime=runtime)
    largest = 0.0
    async with Pipeline(Settings(cache="memory"), Models(classifier=classifier)) as pipeline:
        for task, expected in zip(tasks_of(addresses), probabilities.values(), strict=True):
            (explained,) = (await pipeline.explain(task, EVERY_CHOICE)).choices
            found = {OUTPUT_OF[each.id]: probability for each, probability, _ in explained.classes}
            assert len(found) == 1001
            largest = max(largest, *(abs(found[output] - float(expected[output])) for output in found))
    print(f"largest difference of a probability {largest:.1e}")  # noqa: T201 - a measure to report
    assert largest < tolerance


def test_choices_equal_the_classes_of_the_hub(
    serve: Callable[..., str],
    probabilities: dict[str, NDArray[np.float32]],
    loaded_classifier: Classifier,
    addresses: list[str],
) -> None:
    """60 pictures, over HTTP: the choice of ``/predict`` is the most probable class, and ``/explain`` shows the first 20."""
    url = serve(None, loaded_classifier, model_score_threshold=0)
    assert len({int(each.argmax()) for each in probabilities.values()}) > 1
    for regions, expected in zip(predicted(url, addresses, EVERY_CHOICE), probabilities.values(), strict=True):
        best = (BACKGROUND, *imagenet_classes())[int(expected.argmax())]
        (region,) = regions
        assert region["value"]["choices"][0].removesuffix(f" ({best.id})") == best.name
        assert region["score"] == pytest.approx(float(expected.max()), abs=6e-5)  # scores have four digits
    for task, expected in zip(tasks_of(addresses), probabilities.values(), strict=True):
        shown = first_classes(url, task)
        found = [each["probability"] for each in shown]
        assert found == pytest.approx([float(expected[OUTPUT_OF[each["class_id"]]]) for each in shown], abs=1e-5)
        assert found == pytest.approx(sorted(expected.tolist(), reverse=True)[:20], abs=1e-5)


def first_classes(url: str, task: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the most probable classes of a task's image."""
    body = {"task": task, "label_config": EVERY_CHOICE}
    (explained,) = httpx.post(f"{url}/explain", json=body).json()["classifications"]
    classes: list[dict[str, Any]] = explained["classes"]
    return classes


def test_all_exif_orientations_give_the_same_probabilities(
    serve: Callable[..., str], loaded_classifier: Classifier, pictures: PictureServer
) -> None:
    """Three pictures stored in eight ways, without loss: what is displayed is classified."""
    url = serve(None, loaded_classifier, model_score_threshold=0)
    for picture in held_out(3):
        stored = {each: stored_as(each, picture.image, "PNG") for each in STORED_BY}
        addresses = [pictures.add(f"/{picture.name}-{each}.png", file) for each, file in stored.items()]
        first, *others = [first_classes(url, task) for task in tasks_of(addresses)]
        assert first[0]["probability"] > 0.05
        assert len(others) == 7
        assert all(other == first for other in others)
